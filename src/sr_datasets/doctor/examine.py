"""All checks, in the order in which they are told."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from sr_datasets import catalog
from sr_datasets.doctor.checks import Check
from sr_datasets.doctor.machine import check_disk, check_gpu, check_machine
from sr_datasets.doctor.software import check_codecs, check_extras, check_versions, own_requirements
from sr_datasets.doctor.stored import check_store
from sr_datasets.errors import SrDataError
from sr_datasets.progress import Progress, Silent
from sr_datasets.store import Store


def examine(store: Store, *, network: bool = False, progress: Progress | None = None) -> list[Check]:
    """Look at the installation, the machine, the store and, when asked for, the sources' hosts.

    Nothing is changed. One file without a name is written to the store's disk and read back; no host is asked
    unless ``network`` says so.

    Args:
        store: The data folder to look at; it need not exist.
        network: Whether each host of the sources is asked for the headers of one file.
        progress: Where it is told what is looked at.
    """
    told = progress or Silent()
    requirements = own_requirements()
    steps = [
        lambda: check_versions(requirements),
        lambda: check_extras(requirements),
        check_codecs,
        check_machine,
        lambda: check_disk(store.root),
        check_gpu,
        lambda: check_store(store),
        check_manifests,
        *([check_network] if network else []),
    ]
    found: list[Check] = []
    with told.bar("doctor", total=len(steps), unit="checks") as bar:
        for step in steps:
            found += step()
            bar.advance(1)
    return found


def check_manifests() -> Iterator[Check]:
    """Read every manifest and recipe, the user's too."""
    try:
        sources, recipes = catalog.sources(), catalog.recipes()
    except SrDataError as error:
        yield Check("catalog", "manifests", "broken", str(error))
        return
    clips = sum(len(source.clips) for source in sources)
    told = f"{len(sources)} sources, {clips} clips, {len(recipes)} recipes"
    facts = {"sources": len(sources), "clips": clips, "recipes": len(recipes)}
    yield Check("catalog", "manifests", "ok", told, facts=facts)


def check_network() -> Iterator[Check]:
    """Ask each host that a source is fetched from for the headers of one of its files."""
    from sr_datasets.fetch.reach import reach

    addresses: dict[str, str] = {}
    users: dict[str, list[str]] = {}
    for source in catalog.sources():
        hosts = dict.fromkeys(
            (urlsplit(url).netloc, url) for file in catalog.remotes_of(source) for url in file.mirrors
        )
        for host, url in hosts:
            addresses.setdefault(host, url)
            if source.id not in users.setdefault(host, []):
                users[host].append(source.id)
    for host, answer in zip(addresses, reach(list(addresses.values())), strict=True):
        needed = ", ".join(users[host])
        yield Check(
            "network",
            host,
            "ok" if answer.reached else "broken",
            f"{answer.words} in {answer.seconds:.1f} s ({needed})",
            "" if answer.reached else "Is there a proxy to name (HTTPS_PROXY)? Other hosts may still work.",
            {"url": answer.url, "status": answer.status, "sources": users[host]},
        )
