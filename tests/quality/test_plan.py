"""A plan knows which results there are to compute, and which picture each sequence shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.quality.paper_order.evaluation import ORDER
from benchmarks.quality.plan import Plan, name_sets, plan_sets, unaligned_sets
from benchmarks.quality.record import add_pictures, read_pictures, settings_record
from benchmarks.quality.run import complete_results
from diar_ops import OptionError, OutputError
from diar_ops._folders import locked_folder
from diar_ops.engines.local import LocalEngine
from tests.sequences import write_dataset


def set_texture(folder: Path, texture: object) -> None:
    path = folder / "sequence.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["texture"] = texture
    path.write_text(json.dumps(document), encoding="utf-8")


def test_pictures_are_the_textures_of_the_documents(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "set", 4, kind="aligned")
    for name in ("000000", "000002"):
        set_texture(folder / name, {"file": "same.jpg"})
    set_texture(folder / "000003", None)
    plan = plan_sets(name_sets([folder]), ["mean"], [2])
    assert [plan.pictures["set", f"{i:06d}"] for i in range(4)] == [
        "same.jpg",
        "000001.jpg",
        "same.jpg",
        "sequence 000003",
    ]
    assert plan_sets(name_sets([folder]), ["mean"], [2], sequences=1).pictures.keys() == {("set", "000000")}


def test_sets_are_named_by_their_folders(tmp_path: Path) -> None:
    a, b, c = tmp_path / "one" / "set", tmp_path / "two" / "set", tmp_path / "other"
    assert name_sets([a, b, c]) == {str(a): a, str(b): b, "other": c}
    with pytest.raises(OptionError, match="is given twice"):
        name_sets([a, tmp_path / "one" / ".." / "one" / "set"])


def test_sets_that_lie_over_their_label_need_no_alignment(tmp_path: Path) -> None:
    sets = {kind: write_dataset(tmp_path / kind, 2, kind=kind) for kind in ("aligned", "misaligned")}
    assert unaligned_sets(sets) == {"misaligned": sets["misaligned"]}
    # Where the document does not say, the homographies do.
    for folder in sets["aligned"].iterdir():
        path = folder / "sequence.json"
        document = json.loads(path.read_text(encoding="utf-8"))
        del document["kind"]
        path.write_text(json.dumps(document), encoding="utf-8")
    assert unaligned_sets(sets) == {"misaligned": sets["misaligned"]}


def test_two_runs_never_write_one_table(tmp_path: Path) -> None:
    def compute() -> None:
        nothing: Plan[Path] = Plan([], {})
        record = settings_record(ORDER)
        complete_results(tmp_path, ORDER, nothing, record, lambda: lambda task: [], engine=LocalEngine(0), title="none")

    with locked_folder(tmp_path), pytest.raises(OutputError, match="another run works in"):
        compute()
    compute()


def test_pictures_are_kept_beside_results(tmp_path: Path) -> None:
    assert read_pictures(tmp_path) == {}
    add_pictures(tmp_path, {("b", "1"): "x.jpg"})
    add_pictures(tmp_path, {("a", "0"): "y.jpg", ("b", "1"): "z.jpg"})
    assert read_pictures(tmp_path) == {("b", "1"): "z.jpg", ("a", "0"): "y.jpg"}
    (tmp_path / "sequences.json").write_text("[1]")
    with pytest.raises(OutputError, match="which pictures sequences show"):
        read_pictures(tmp_path)
