"""Terms are accepted once and on record; what licences oblige to is counted clip by clip."""

import hashlib
import json
from pathlib import Path

import pytest

from sr_datasets import catalog, terms
from sr_datasets.errors import TermsError
from sr_datasets.manifest import License, Source
from sr_datasets.store import Store


def source_of(text: str = "Research only.\nDestroy copies after use.", id_: str = "lab") -> Source:
    return Source.model_validate(
        {
            "format": 1,
            "id": id_,
            "title": "A lab",
            "description": "For tests.",
            "access": "download",
            "terms": text,
            "citation": {"text": "Nobody"},
            "licenses": {"none": {"name": "none stated"}},
            "license": "none",
        }
    )


def test_a_source_without_terms_asks_for_nothing(tmp_path: Path):
    store = Store(tmp_path)
    terms.require_acceptance(source_of(""), store, accepted=False)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="no terms"):
        terms.accept(source_of(""), store)


def test_terms_that_were_not_accepted_are_shown_with_what_to_type(tmp_path: Path):
    with pytest.raises(TermsError) as caught:
        terms.require_acceptance(source_of(), Store(tmp_path), accepted=False)
    text = str(caught.value)
    assert text.startswith("lab: its terms must be accepted first:\nResearch only.\nDestroy copies")
    assert "--accept-terms lab" in text
    assert str(tmp_path / "terms.jsonl") in text


def test_an_acceptance_is_written_once_with_source_date_and_hash_of_the_text(tmp_path: Path):
    store = Store(tmp_path)
    for accepted in (True, True, False):
        terms.require_acceptance(source_of(), store, accepted=accepted)
    (line,) = (tmp_path / "terms.jsonl").read_text().splitlines()
    fields = json.loads(line)
    digest = hashlib.sha256(b"Research only. Destroy copies after use.").hexdigest()
    assert (fields["source"], fields["terms_sha256"]) == ("lab", digest)
    assert fields["accepted"].endswith("+00:00")
    assert terms.find_acceptance(source_of(), store) is not None
    assert terms.must_be_asked(source_of(id_="other"), store)


def test_line_breaks_are_no_change_of_terms_and_words_are(tmp_path: Path):
    store = Store(tmp_path)
    terms.accept(source_of(), store)
    terms.require_acceptance(source_of("Research only.  Destroy\ncopies after use.\n"), store, accepted=False)
    with pytest.raises(TermsError, match="its terms changed since they were accepted"):
        terms.require_acceptance(source_of("Research only."), store, accepted=False)


@pytest.mark.parametrize("rest", ['{"source": "lab", "terms_', "\n\nnothing\n", "[]"])
def test_a_damaged_line_of_the_ledger_counts_for_nothing_and_spoils_no_other(tmp_path: Path, rest: str):
    store = Store(tmp_path)
    terms.accept(source_of(), store)
    with (tmp_path / "terms.jsonl").open("a") as file:
        file.write(rest)
    terms.accept(source_of(id_="other"), store)
    assert [line.source for line in terms.acceptances(store)] == ["lab", "other"]


def test_obligations_count_clips_and_name_licences():
    free = License(
        name="CC BY 4.0", redistribute_original="yes", redistribute_derived="yes", commercial="yes",
        attribution="yes", share_alike="no",
    )  # fmt: skip
    closed = License(
        name="CC BY-NC-ND 4.0", redistribute_original="yes", redistribute_derived="no", commercial="no",
        attribution="yes", share_alike="no",
    )  # fmt: skip
    silent = License(name="none stated")
    assert [str(one) for one in terms.obligations([free, closed, closed, silent])] == [
        "do not pass on patches made of them: 2 of 4 clips (CC BY-NC-ND 4.0)",
        "no commercial use: 2 of 4 clips (CC BY-NC-ND 4.0)",
        "name the author and the licence: 3 of 4 clips (CC BY 4.0; CC BY-NC-ND 4.0)",
        "not stated whether the files may be passed on: 1 of 4 clips (none stated)",
        "not stated whether patches may be passed on: 1 of 4 clips (none stated)",
        "not stated whether commercial use is allowed: 1 of 4 clips (none stated)",
    ]
    assert terms.obligations([]) == []


def test_every_selection_of_the_catalog_has_obligations_or_a_free_licence():
    for source in catalog.sources():
        if source.clips:
            found = terms.obligations_of(catalog.select([source.id]))
            assert all(1 <= one.clips <= one.of == len(source.clips) for one in found)
