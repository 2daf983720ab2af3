"use strict";
const MINUTES = 5, STALE_MS = 5000;
const COLOURS = { battery: "#0072B2", consolidation: "#009E73", power_cap: "#E69F00",
  admission: "#CC79A7", deferral: "#F0E442", clock_lock: "#56B4E9", pull_forward: "#882255",
  precision: "#999933", prewarm: "#332288" };
const $ = (id) => document.getElementById(id);
const kw = (x) => x === null || x === undefined ? "silent" : `${x.toFixed(2)} kW`;
let history = [], told = null, heard = 0, stream = null;

function element(name, text, parent) {
  const made = document.createElement(name);
  made.textContent = text;
  if (parent) parent.append(made);
  return made;
}
function svg(parent, name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

/* --- one chart: minutes from now to the right, a scale to the left ----------------------------- */
function chart(id, least, most, unit) {
  const box = $(id), width = box.clientWidth || 800, height = box.clientHeight || 180;
  const left = 46, bottom = 20, now = Date.now();
  box.replaceChildren();
  box.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const span = Math.max(most - least, 1e-9);
  const x = (ms) => left + (width - left) * ((ms - now) / 60000 + MINUTES) / (2 * MINUTES);
  const y = (v) => 4 + (height - bottom - 4) * (1 - (v - least) / span);
  const step = niceStep(span / 4);
  for (let v = Math.ceil(least / step) * step; v <= most + 1e-9; v += step) {
    svg(box, "line", { x1: left, x2: width, y1: y(v), y2: y(v) });
    const digits = Math.max(0, Math.ceil(-Math.log10(step)));
    svg(box, "text", { x: left - 6, y: y(v) + 4, "text-anchor": "end" }, v.toFixed(digits) + unit);
  }
  for (let m = -MINUTES; m <= MINUTES; m += 5) {
    const at = x(now + m * 60000), end = m === MINUTES ? "end" : m === -MINUTES ? "start" : "middle";
    const words = m === 0 ? "now" : `${m > 0 ? "+" : "−"}${Math.abs(m)} min`;
    svg(box, "text", { x: at, y: height - 4, "text-anchor": end }, words);
  }
  svg(box, "line", { x1: x(now), x2: x(now), y1: 0, y2: height - bottom, class: "now" });
  return { box, x, y, left, width };
}
function niceStep(rough) {
  const ten = 10 ** Math.floor(Math.log10(rough));
  return ten * [1, 2, 5, 10].find((n) => n * ten >= rough);
}
function line(to, points, name) {
  let path = "", pen = false;
  for (const [at, value] of points) {
    if (value === null || value === undefined || to.x(at) < to.left) { pen = false; continue; }
    const px = Math.min(to.x(at), to.width).toFixed(1);
    path += `${pen ? "L" : "M"}${px} ${to.y(value).toFixed(1)}`;
    pen = true;
    if (to.x(at) > to.width) break;
  }
  svg(to.box, "path", { d: path, class: name });
}
const steps = () => told ? told.steps.map((s) => ({ ...s, from: Date.parse(s.at),
  to: Date.parse(s.at) + 1000 * s.duration_s })) : [];
const stairs = (value) => steps().flatMap((s) => [[s.from, value(s)], [s.to, value(s)]]);
const past = (name) => history.map((p) => [Date.parse(p.at), p[name]]);
function bounds(points, margin) {
  const from = Date.now() - MINUTES * 60000, to = Date.now() + MINUTES * 60000;
  const values = points.filter(([at, v]) => v !== null && v !== undefined && at >= from && at <= to)
    .map(([, v]) => v);
  if (!values.length) return [0, 1];
  const low = Math.min(...values), high = Math.max(...values), room = Math.max(high - low, margin);
  return [low - 0.1 * room, high + 0.1 * room];
}

/* --- what is drawn ---------------------------------------------------------------------------- */
function draw() {
  if (!told) return;
  const grid = past("grid_kw"), planned = stairs((s) => s.grid_kw);
  const wanted = stairs((s) => s.target_kw === 0 ? null : s.baseline_kw + s.target_kw);
  const before = past("asked_kw");
  let to = chart("draw", ...bounds([...grid, ...planned, ...wanted], 0.5), "");
  line(to, planned.filter(([at]) => at >= Date.now() - 1500), "s-planned");
  line(to, [...before, ...wanted.filter(([at]) => at > Date.now())], "s-asked");
  line(to, grid, "s-grid");

  const named = new Set(["battery"]);
  for (const s of steps()) for (const name of Object.keys(s.mechanisms)) named.add(name);
  const parts = [...named].filter((n) => steps().some((s) => Math.abs(share(s, n)) > 0.005));
  const sums = stairs((s) => parts.reduce((sum, n) => sum + Math.max(share(s, n), 0), 0));
  const lows = stairs((s) => parts.reduce((sum, n) => sum + Math.min(share(s, n), 0), 0));
  to = chart("carry", ...bounds([...past("battery_kw"), ...sums, ...lows, [Date.now(), 0]], 0.2), "");
  for (const s of steps()) bars(to, s, parts);
  line(to, past("battery_kw"), "s-battery");
  legend(parts);

  const soc = past("soc").map(([at, v]) => [at, v === null ? null : 100 * v]);
  const coming = stairs((s) => s.soc === null ? null : 100 * s.soc);
  to = chart("charge", ...bounds([...soc, ...coming], 2), "");
  line(to, coming.filter(([at]) => at >= Date.now()), "s-soc planned");
  line(to, soc, "s-soc");
}
const share = (s, name) => name === "battery" ? s.battery_kw : -(s.mechanisms[name] ?? 0);
function bars(to, s, parts) {
  const x1 = Math.max(to.x(s.from), to.left), x2 = Math.min(to.x(s.to), to.width);
  if (x2 <= x1) return;
  let up = 0, down = 0;
  for (const name of parts) {
    const value = share(s, name), from = value > 0 ? up : down;
    if (value > 0) up += value; else down += value;
    const y1 = to.y(Math.max(from, from + value)), y2 = to.y(Math.min(from, from + value));
    svg(to.box, "rect", { x: x1, width: x2 - x1, y: y1, height: y2 - y1, fill: COLOURS[name] ?? "#BBBBBB",
      "data-mechanism": name });
  }
}
function legend(parts) {
  const box = $("mechanisms");
  box.replaceChildren();
  for (const name of parts) {
    element("span", name.replaceAll("_", " "), box).style.setProperty("--c", COLOURS[name] ?? "#BBBBBB");
  }
  element("span", "battery, measured", box).style.setProperty("--c", "var(--ink)");
}
function facts() {
  const now = told.now, plan = told.plan, asked = now && now.asked_kw;
  $("site").textContent = told.site + (told.dry_run ? " (dry run: nobody is told anything)" : "");
  $("doing").textContent = told.event ? `answering ${told.event.id}`
    : told.restoring ? `between calls, ${told.restoring}` : "between calls";
  const shown = [["drawn", kw(now && now.grid_kw)], ["asked", asked === null ? "–" : kw(asked)],
    ["battery", now && now.battery_kw !== null ? `${now.battery_kw >= 0 ? "+" : "−"}${kw(Math.abs(now.battery_kw))}` : "silent"],
    ["charge", now && now.soc !== null ? `${(100 * now.soc).toFixed(1)} %` : "silent"],
    ["frequency", now && now.frequency_hz !== null ? `${now.frequency_hz.toFixed(3)} Hz` : "–"],
    ["plan", plan ? `${plan.status}, gap ${(100 * plan.gap).toFixed(2)} %` : "none yet"],
    ["hand-off", plan && told.event && plan.handoff_s !== null ? `${plan.handoff_s.toFixed(0)} s` : "–"],
    ["cost", plan ? `${plan.cost.toFixed(2)} ${told.currency}` : "–"],
    ["leased", `${Object.values(told.leased).filter(Boolean).length} of ${Object.keys(told.leased).length}`]];
  $("facts").replaceChildren(...shown.map(([name, value]) => {
    const box = document.createElement("div");
    element("dt", name, box); element("dd", value, box);
    return box;
  }));
  $("wrong").replaceChildren(...told.degradations.map((text) => element("li", text)));
  $("why").replaceChildren(...(plan ? [...plan.why, ...plan.explanation] : []).map((t) => element("li", t)));
}

/* --- calls ------------------------------------------------------------------------------------ */
async function ask(path, options) {
  return fetch(path, { ...options, headers: { "Content-Type": "application/json" } });
}
async function said(answer) {
  if (answer.ok) return (await answer.json()).said;
  const problem = await answer.json();
  return problem.detail ?? `refused (${answer.status})`;
}
async function calls() {
  const answer = await ask("/events");
  if (!answer.ok) return;
  $("calls").replaceChildren(...(await answer.json()).map((event) => {
    const kws = event.target && event.target.delta_kw;
    const what = kws ? `${kws < 0 ? "release" : "absorb"} ${Math.abs(kws)} kW` : event.type;
    const from = new Date(event.start).toLocaleTimeString();
    const item = element("li", `${event.id}: ${what} from ${from} for ${event.duration_s / 60} min`);
    const back = element("button", "take back", item);
    back.addEventListener("click", async () => {
      $("asked-said").textContent = await said(await ask(`/events/${event.call}`, { method: "DELETE" }));
      calls();
    });
    return item;
  }));
}
$("ask").addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  const size = Number($("size").value), way = Number($("direction").value);
  $("sure-what").textContent = `${way < 0 ? "Release" : "Absorb"} ${size} kW for ${$("minutes").value} min, ` +
    `in ${$("delay").value} s?` + (told && told.dry_run ? " This is a dry run." : "");
  $("sure").returnValue = "no";
  $("sure").showModal();
});
$("sure").addEventListener("close", async () => {
  if ($("sure").returnValue !== "yes") return;
  const id = `page-${Date.now()}`;
  const start = new Date(Date.now() + 1000 * Number($("delay").value)).toISOString();
  const event = { id, type: "demand_response", start, duration_s: 60 * Number($("minutes").value),
    target: { delta_kw: Number($("direction").value) * Number($("size").value) } };
  const body = JSON.stringify({ kind: "grid_event", uid: id, events: [event] });
  $("asked-said").textContent = await said(await ask("/events", { method: "POST", body }));
  calls();
});

/* --- the line to the service ------------------------------------------------------------------ */
function watch() {
  const old = Date.now() - heard > STALE_MS;
  document.body.classList.toggle("stale", old);
  $("line").classList.toggle("lost", old);
  $("line").textContent = old ? `connection lost: what is shown is ${Math.round((Date.now() - heard) / 1000)} s old`
    : "live";
  draw();
}
async function open() {
  if (!(await (await ask("/session")).json()).open) {
    $("room").hidden = true; $("login").hidden = false; $("token").focus();
    return;
  }
  history = (await (await ask("/timeline")).json()).measured;
  heard = Date.now();
  $("login").hidden = true; $("room").hidden = false;
  stream = new EventSource("/stream");
  stream.onmessage = (message) => {
    told = JSON.parse(message.data);
    heard = Date.now();
    const last = history.length ? history[history.length - 1].at : "";
    if (told.now && told.now.at !== last) history.push(told.now);
    history = history.slice(-1800);
    facts(); draw();
  };
  setInterval(watch, 1000); setInterval(calls, 3000); calls();
  addEventListener("resize", draw);
}
$("login").addEventListener("submit", async (submitted) => {
  submitted.preventDefault();
  const answer = await ask("/login", { method: "POST", body: JSON.stringify({ token: $("token").value }) });
  if (answer.ok) { $("token").value = ""; open(); }
  else $("login-said").textContent = (await answer.json()).detail;
});
open();
