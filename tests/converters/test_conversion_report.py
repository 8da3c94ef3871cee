"""What is printed, and what an error lists."""

from __future__ import annotations

import json

from mgm_converters.report import ConversionError, Report
from mgm_converters.verification.verify import TapCheck

REPORT = Report(
    source="best.pth.tar",
    sha256="ab" * 32,
    format="pytorch",
    keys=("state_dict",),
    prefix="module.",
    naming="a spelling",
    architecture="resnet18",
    paradigm="unknown",
    mapped={
        "module.conv1.weight": "conv1.weight",
        "module.stages.0.norm.bias": "layer1.bn1.bias",
        "module.stages.1.norm.bias": "layer2.bn1.bias",
    },
    dropped={"module.fc.weight": "a head", "module.fc.bias": "a head", "queue": "a queue"},
    left=("module.odd",),
    assumptions=("12 heads", "exact GELU"),
    verification=(
        TapCheck(tap="stem", shape=(2, 2, 4), error=1e-7),
        TapCheck(tap="pool", shape=(4,), error=3e-6),
    ),
    converter_version="1.0",
    torch_version="2.9",
)


def test_lines_name_what_was_mapped_dropped_and_left():
    text = "\n".join(REPORT.lines())
    assert "best.pth.tar [state_dict] module.*" in text
    assert "  1 under their own names" in text
    assert "  1: module.stages.*.norm.bias -> layer1.bn1.bias" in text
    assert "  a head: module.fc.weight, module.fc.bias" in text
    assert "left          module.odd" in text
    assert "2 taps against PyTorch 2.9, largest relative error 3.0e-06 at pool" in text


def test_report_is_plain_json():
    values = json.loads(json.dumps(REPORT.to_dict()))
    assert values["verification"][1]["error"] == 3e-6
    assert REPORT.largest_error == 3e-6


def test_an_error_lists_its_problems_and_counts_the_rest():
    short = ConversionError("w.pth", ["one"])
    assert str(short) == "w.pth: one problem, nothing was written\n  one"
    long = ConversionError("w.pth", [f"p{i}" for i in range(40)])
    assert str(long).splitlines()[-1] == "  and 10 more"
    assert len(long.problems) == 40
