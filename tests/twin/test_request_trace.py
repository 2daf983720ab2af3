"""Traces are read from files as people have them; what is wrong names file and row."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from ebplan import InputError
from ebplan.twin.requests import read_rates, read_trace

ROWS = "t_s,input_tokens,output_tokens\n0.0,374,44\n4.5,396,109\n9.0,12,0\n20.0,80,7\n"


def test_a_trace_plain_or_gzipped(tmp_path: Path) -> None:
    plain, zipped = tmp_path / "trace.csv", tmp_path / "trace.csv.gz"
    plain.write_text(ROWS)
    zipped.write_bytes(gzip.compress(ROWS.encode()))
    trace = read_trace(plain)
    assert read_trace(zipped) == trace
    # the request without an answer is left out: there is nothing to serve
    assert [(r.at_s, r.prompt_tokens, r.output_tokens) for r in trace.requests] == [
        (0.0, 374, 44),
        (4.5, 396, 109),
        (20.0, 80, 7),
    ]


def test_a_part_of_it_faster(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(ROWS)
    trace = read_trace(path, pace=2.0, from_s=4.0, until_s=20.0)
    assert [r.at_s for r in trace.requests] == [0.25]


def test_prefixes(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("t_s,input_tokens,output_tokens,prefix,prefix_tokens\n0,900,4,7,512\n1,9,4,,\n")
    first, last = read_trace(path).requests
    assert (first.prefix, first.prefix_tokens) == (7, 512)
    assert (last.prefix, last.prefix_tokens) == (None, 0)


def test_rates(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text("t_s,req_per_s\n0,100\n600,200\n1200,300\n")
    assert read_rates(path, share=0.1, from_s=600.0).rates == ((0.0, 20.0), (600.0, 30.0))


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("t_s,input_tokens\n0,3\n", "columns"),
        ("t_s,input_tokens,output_tokens\n0,x,3\n", "line 2: input_tokens"),
        ("t_s,input_tokens,output_tokens\n0,nan,3\n", "line 2: input_tokens"),
        ("t_s,input_tokens,output_tokens\n-1,4,3\n", "line 2: t_s"),
    ],
)
def test_what_is_wrong_names_the_row(tmp_path: Path, text: str, field: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=field) as caught:
        read_trace(path)
    assert str(path) in str(caught.value)


def test_no_file_and_no_gzip(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="trace"):
        read_trace(tmp_path / "none.csv")
    path = tmp_path / "broken.csv.gz"
    path.write_text(ROWS)
    with pytest.raises(InputError, match="trace"):
        read_trace(path)
