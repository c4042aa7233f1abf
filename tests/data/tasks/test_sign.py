"""Sign data: manifests, prompts around clips, sampling, and what reaches the model."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from lit_llm.batch import FILLER, IGNORE
from lit_llm.data import ClipChanges, SignData
from lit_llm.errors import ConfigError, DataError

COLUMNS = ["id", "path", "text", "lang", "split", "video_id", "length"]
LENGTHS = [9, 4, 30, 1, 12, 7]
SPLITS = ["train", "train", "train", "train", "dev", "test"]


def write(folder: Path, lengths: list[int] = LENGTHS, **changes: Any) -> str:
    """Write clips and a manifest; ``changes`` replaces columns, by None to leave one out."""
    rows = []
    for at, length in enumerate(lengths):
        np.save(folder / f"{at}.npy", np.full((length, 3), at, dtype=np.float32) + np.arange(length)[:, None] / 100)
        row = [f"c{at}", f"{at}.npy", f"sentence  {at}", "", SPLITS[at % len(SPLITS)], f"v{at // 2}", str(length)]
        rows.append(dict(zip(COLUMNS, row, strict=True)) | {k: v[at] for k, v in changes.items() if v})
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [name for name in COLUMNS if changes.get(name, 1)], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return str(folder / "manifest.csv")


def data(root: Path, stage: str = "fit", tokenizer: Path | None = None, **settings: Any) -> SignData:
    module = SignData(**settings)
    module.tokenizer = AutoTokenizer.from_pretrained(tokenizer or root / "checkpoints" / "qwen3-tiny")
    module.setup(stage)
    return module


def ids(module: SignData, split: str) -> list[str]:
    return [example.id for example in module.splits[split].examples]


def test_one_manifest_serves_all_splits(tmp_path: Path, root: Path) -> None:
    manifest = write(tmp_path)
    module = data(root, train=manifest, valid=manifest, test={"test": manifest})
    module.setup("test")
    assert [ids(module, name) for name in ("train", "valid", "test")] == [["c0", "c1", "c2", "c3"], ["c4"], ["c5"]]
    example = module.splits["valid"].examples[0]
    assert (example.text, example.reference, example.meta) == ("c4", "sentence 4", {"document": "v2"})


def test_without_a_split_column_all_rows_are_used_and_unknown_splits_are_refused(tmp_path: Path, root: Path) -> None:
    assert len(data(root, train=write(tmp_path, split=None)).splits["train"]) == 6
    manifest = write(tmp_path, split=["fit"] * 6)
    with pytest.raises(DataError, match=r":2: no row of the manifest has the split 'train'; there are fit"):
        data(root, train=manifest)


@pytest.mark.parametrize("kind", ["tiny", "plain", "qwen3", "qwen3-2507"])
def test_a_row_is_its_prompt_with_a_clip_in_its_place(
    tmp_path: Path, root: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue("real_data") / "tokenizers" / "qwen3" if "qwen3" in kind else None
    template = str(folder / "alt_qwen3_instruct_2507.jinja") if folder and kind == "qwen3-2507" else None
    template = str(root / "configs/template/plain.jinja") if kind == "plain" else template
    manifest = write(tmp_path, lang=["German"] * 6)
    module = data(root, tokenizer=folder, train=manifest, chat_template=template)
    row = module.splits["train"][(0, 0)]
    slots, tokenizer = row.encoded.slots, module.tokenizer
    assert len(slots) == 3  # nine frames, four to a position
    ids = row.encoded.input_ids
    words = ids[: slots.start] + ids[slots.stop :]
    marked = module.format.render("@", "sentence 0", module.context("German")).rstrip()
    assert tokenizer.decode(words) == marked.replace("@", "")
    assert "Translate the sign language video into German:\n" in tokenizer.decode(ids[: slots.start])
    learned = [token for token, label in zip(ids, row.encoded.labels, strict=True) if label != IGNORE]
    assert tokenizer.decode(learned) == "sentence 0" + tokenizer.eos_token
    assert ids[row.encoded.prompt_length :] == learned


def test_a_batch_marks_the_slots_of_sequences_and_prompts(tmp_path: Path, root: Path) -> None:
    manifest = write(tmp_path)
    module = data(root, valid=manifest, train=manifest)
    split = module.splits["train"]
    batch = module.collate([split[(0, at)] for at in (2, 0, 3, -1)], "train", generate=True)
    assert batch.ids == ["c2", "c0", "c3", FILLER]
    assert batch.features.values.shape == (4, 30, 3)
    assert batch.features.mask.sum(1).tolist() == [30, 9, 1, 9]
    assert batch.slots.sum(1).tolist() == [8, 3, 1, 3] == batch.prompt.slots.sum(1).tolist()
    assert (batch.labels[3] == IGNORE).all()
    for ids, mask, slots in (
        (batch.input_ids, batch.attention_mask, batch.slots),
        (batch.prompt.input_ids, batch.prompt.attention_mask, batch.prompt.slots),
    ):
        assert (mask.bool() | ~slots).all()
        texts = [module.tokenizer.decode(row[keep]) for row, keep in zip(ids, mask.bool() & ~slots, strict=True)]
        assert all("English:\n<|im_end|>" in text for text in texts)


def test_a_length_or_size_that_is_not_the_clips_is_an_error(tmp_path: Path, root: Path) -> None:
    module = data(root, train=write(tmp_path, split=None, length=["9", "5", *map(str, LENGTHS[2:])]))
    with pytest.raises(DataError, match=r":3: field 'length': 5, but .*1\.npy has 4 frames"):
        module.splits["train"][(0, 1)]
    np.save(tmp_path / "2.npy", np.zeros((30, 4)))
    with pytest.raises(DataError, match=r":4: .*2\.npy has 4 numbers a frame, clips before it 3"):
        [module.splits["train"][(0, at)] for at in (0, 2)]


def test_rows_of_other_splits_are_counted_and_blank_ones_refused(tmp_path: Path, root: Path) -> None:
    module = data(root, train=write(tmp_path))
    assert module.counts["train: rows of other splits"] == 2
    with pytest.raises(DataError, match=r":3: field 'split' is empty"):
        data(root, train=write(tmp_path, split=["train", "", "train", "train", "dev", "test"]))


def test_the_language_is_part_of_the_prompts_fingerprint(tmp_path: Path, root: Path) -> None:
    one, other = (data(root, train=write(tmp_path), lang=lang) for lang in ("English", "Hindi"))
    assert one.template_fingerprint() != other.template_fingerprint()


def test_long_clips_are_sampled_to_their_end(tmp_path: Path, root: Path) -> None:
    manifest = write(tmp_path, split=["dev", "train", "train", "train", "train", "train"])
    module = data(root, train=manifest, valid=manifest, max_frames=5)
    frames = module.splits["valid"][(0, 0)].features[:, 0]
    np.testing.assert_allclose(frames, [0, 0.02, 0.04, 0.06, 0.08])
    train = [module.splits["train"][(epoch, 1)].features[:, 0] for epoch in (0, 0, 1)]
    np.testing.assert_array_equal(train[0], train[1])
    assert not np.array_equal(train[0], train[2])
    assert all(len(frames) == 5 and (np.diff(frames) > 0).all() for frames in train)
    assert module.splits["train"].lengths() == [
        len(module.splits["train"][(0, at)].encoded.input_ids) for at in range(5)
    ]


def test_training_clips_change_and_others_do_not(tmp_path: Path, root: Path) -> None:
    manifest = write(tmp_path)
    module = data(root, train=manifest, valid=manifest, changes=ClipChanges(noise=0.5))
    train, valid = (module.splits[name] for name in ("train", "valid"))
    assert not np.array_equal(train[(0, 2)].features[:4], train[(1, 2)].features[:4])
    np.testing.assert_array_equal(train[(0, 2)].features, train[(0, 2)].features)
    np.testing.assert_array_equal(valid[(0, 0)].features, np.load(tmp_path / "4.npy").astype(np.float32))


@pytest.mark.parametrize(
    ("corrupt", "expected"),
    [
        ("none", [0, 0.01, 0.02]),
        ("rolled", [1, 1.01, 1.02]),
        ("zeroed", [0, 0, 0]),
        ("reversed", [0.02, 0.01, 0]),
    ],
)
def test_clips_can_be_spoilt(tmp_path: Path, root: Path, corrupt: Any, expected: list[float]) -> None:
    manifest = write(tmp_path, [3, 3], split=None)
    module = data(root, "test", test={"all": manifest}, corrupt=corrupt)
    np.testing.assert_allclose(module.splits["all"][(0, 0)].features[:, 0], expected, atol=1e-6)


def test_a_validation_clip_is_viewed_before_and_after_changes(tmp_path: Path, root: Path) -> None:
    manifest = write(tmp_path, split=None)
    module = data(root, train=manifest, valid=manifest, changes=ClipChanges(speed=0.5, drop=0))
    views = module.views("c2")
    assert list(views) == ["features", "changed"]
    assert views["features"].shape == (30, 3)
    assert views["changed"].shape != (30, 3)
    assert np.array_equal(views["changed"], module.views("c2")["changed"])


def test_a_view_of_a_pose_shows_what_is_in_its_file(tmp_path: Path, root: Path, real_data: Path) -> None:
    folder = real_data / "data/sign/sts_lexicon/ase"
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("path,text\nK.pose,k\n")
    module = data(root, train=str(manifest), valid=str(manifest), clips=str(folder))
    views = module.views(module.splits["valid"].examples[0].id)
    assert {name: view.shape for name, view in views.items()} == dict.fromkeys(
        ["in the file", "normalised"], (22, 67, 2)
    )
    assert np.nanmax(views["in the file"]) > 100
    assert np.nanmax(np.abs(views["normalised"])) < 3


def test_lengths_are_read_where_the_manifest_has_none(tmp_path: Path, root: Path) -> None:
    module = data(root, train=write(tmp_path, length=None, split=None))
    assert [example.length for example in module.splits["train"].examples] == LENGTHS
    assert module.feature_size == 3


def test_missing_files_are_an_error_or_counted(tmp_path: Path, root: Path) -> None:
    manifest = write(tmp_path, split=None)
    (tmp_path / "2.npy").unlink()
    with pytest.raises(DataError, match=r":4: field 'path': '2\.npy' does not exist, nor do 0 others of 6"):
        data(root, train=manifest)
    module = data(root, train=manifest, missing="drop", least_match=0.8)
    assert ids(module, "train") == ["c0", "c1", "c3", "c4", "c5"]
    assert module.counts["manifest.csv without a clip"] == 1
    with pytest.raises(DataError, match=r"only 5 of 6 rows have their file, .* is data\.init_args\.clips right"):
        data(root, train=manifest, missing="drop")


@pytest.mark.parametrize(
    ("changes", "settings", "message"),
    [
        ({"path": ["", *["0.npy"] * 5]}, {}, r"manifest\.csv:2: field 'path'"),
        ({"text": ["", *["a"] * 5]}, {}, r"manifest\.csv:2: field 'text'"),
        ({"text": ["a<|im_end|>b", *["a"] * 5]}, {}, r"manifest\.csv:2: the text holds the control token"),
        ({"length": ["0", *["1"] * 5]}, {}, r"manifest\.csv:2: field 'length': '0' is not a number of frames"),
        ({"id": ["a"] * 6}, {}, "id"),
        ({}, {"max_length": 20}, r"manifest\.csv:2: .* positions exceed max_length 20"),
    ],
)
def test_rows_that_cannot_be_used_are_named(
    tmp_path: Path, root: Path, changes: Any, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        data(root, train=write(tmp_path, split=None, **changes), **settings)


def test_rows_that_are_too_long_are_dropped_and_counted(tmp_path: Path, root: Path) -> None:
    manifest = write(tmp_path, split=None)
    lengths = sorted(data(root, train=manifest).splits["train"].lengths())
    module = data(root, train=manifest, max_length=lengths[2], overflow="drop")
    assert sorted(module.splits["train"].lengths()) == [one for one in lengths if one <= lengths[2]]
    assert module.counts["train dropped"] == sum(one > lengths[2] for one in lengths) > 0


def test_lengths_allow_for_the_slowest_clip_so_that_a_budget_holds(tmp_path: Path, root: Path) -> None:
    changes = ClipChanges(speed=0.4, drop=0)
    manifest = write(tmp_path, [*range(20, 60)], split=None)
    settings: dict[str, Any] = {"batch_size": 100, "max_batch_tokens": 480, "downsample": 1}
    module = data(root, train=manifest, changes=changes, **settings)
    planned = module.splits["train"].lengths()
    loader = module.train_dataloader()
    longer = 0
    for epoch in range(4):
        for rows in loader.batches(epoch):
            batch = loader.collate([module.splits["train"][epoch, row] for row in rows])
            assert batch.input_ids is not None
            assert batch.input_ids.numel() <= 480
            frames = [int(example.id[1:]) + 20 for example in (module.splits["train"].examples[row] for row in rows)]
            assert batch.features is not None
            shown = batch.features.mask.sum(1).tolist()
            longer += sum(now > before for now, before in zip(shown, frames, strict=True))
            assert all(n <= planned[row] for n, row in zip(batch.attention_mask.sum(1).tolist(), rows, strict=True))
    assert longer > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"overflow": "truncate_input"}, "clips are sampled to max_frames"),
        ({"downsample": 0}, "downsample is 0"),
        ({"max_frames": 0}, "max_frames is 0"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SignData(**settings)


def test_an_epoch_goes_on_in_its_own_plan_alone(tmp_path: Path, root: Path) -> None:
    manifest = write(tmp_path, [*range(20, 60)], split=None)

    def planned(amid_epoch: bool, state: dict[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
        module = data(root, train=manifest, batch_size=4, **settings)
        if state is not None:
            module.load_state_dict(state | {"amid_epoch": amid_epoch})
        module.train_dataloader()
        return module.state_dict()

    state = planned(False, max_batch_tokens=400)
    assert planned(True, state, max_batch_tokens=400)["plan"] == state["plan"]
    for settings in ({}, {"max_batch_tokens": 300}, {"max_batch_tokens": 400, "changes": ClipChanges(speed=0.3)}):
        assert planned(False, state, **settings)["plan"] != state["plan"]
        with pytest.raises(ConfigError, match="stopped amid an epoch, and these settings cut that epoch into other"):
            planned(True, state, **settings)
    old = {key: value for key, value in state.items() if key not in ("plan", "amid_epoch")}
    data(root, train=manifest).load_state_dict(old)


def test_a_manifest_keeps_columns_and_names_rows_without_their_file(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((5, 4), dtype=np.float32))
    (tmp_path / "m.csv").write_text("uid,path,text,signer\nu1,a.npy,hola,s1\nu2,b.npy,hola,s2\nu3,,x,s3\n")
    data = SignData(predict=str(tmp_path / "m.csv"), keep=["signer"], id_field="uid")
    data.lenient = True
    found = [(row.id, row.meta["signer"], row.error) for row in data.read(tmp_path / "m.csv")]
    assert found == [
        ("u1", "s1", ""),
        ("u2", "s2", "field 'path': 'b.npy' does not exist"),
        ("u3", "s3", "field 'path': is blank; give it a value or remove the record"),
    ]
