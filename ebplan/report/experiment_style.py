"""Looks of the page, and the few lines that sort its table."""

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #222; background: #fff;
  max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.warn { border-left: 4px solid #D55E00; padding: .3rem .8rem; background: #FBF1EA; }
img { max-width: 100%; height: auto; display: block; margin: .6rem 0; }
.wide { overflow-x: auto; max-height: 36rem; border: 1px solid #ddd; }
table { border-collapse: collapse; font-size: 12px; }
th { position: sticky; top: 0; background: #f1f1f1; cursor: pointer; text-align: left;
  vertical-align: bottom; }
th, td { padding: .25rem .5rem; border-bottom: 1px solid #eee; }
td { white-space: nowrap; max-width: 16rem; overflow: hidden; text-overflow: ellipsis; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
th.up::after { content: " \\25B2"; } th.down::after { content: " \\25BC"; }
summary { cursor: pointer; padding: .2rem 0; overflow-wrap: anywhere; }
"""
SCRIPT = """
document.querySelectorAll("th").forEach(function (th, i) {
  th.addEventListener("click", function () {
    var up = !th.classList.contains("up"), body = document.querySelector("tbody");
    document.querySelectorAll("th").forEach(function (h) { h.className = ""; });
    th.className = up ? "up" : "down";
    var rows = Array.from(body.rows);
    rows.sort(function (a, b) {
      var x = a.cells[i].dataset.v, y = b.cells[i].dataset.v;
      if (x === "" || y === "") { return (x === "") - (y === ""); }
      var d = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
      return up ? d : -d;
    });
    rows.forEach(function (r) { body.appendChild(r); });
  });
});
"""
