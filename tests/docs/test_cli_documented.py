"""Every command is in docs/cli.md, with its real options."""

from __future__ import annotations

from typing import Annotated

import pytest
import typer
from cli_reference import PAGE, real, reference
from generated import BEGIN, END, replaced, written
from typer.main import get_command


def test_the_reference_is_of_the_real_commands() -> None:
    told = written(PAGE.read_text(encoding="utf-8"))
    assert told == real(), "the commands changed: run python packaging/cli_reference.py --write"


# The contract of the command line (docs/cli.md): scripts of others depend on these.
@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("db upgrade", []),
        ("db check", ["--json"]),
        ("db url", []),
        ("db stop", []),
        ("ingest", ["--labels", "--split", "--workers", "--keep", "--frames", "--watch", "--move-to", "--json"]),
        ("verify", ["--tidy", "--json"]),
        ("receive", ["--ae-title", "--port", "--peer", "--peers", "--tls-cert", "--max-associations", "--json"]),
        ("pull", ["--since", "--until", "--query", "--workers", "--reconcile", "--credentials", "--json"]),
        ("train", ["--profile", "--split", "--epochs", "--device", "--seed", "--restart", "--curve", "--json"]),
        ("work", ["--once", "--device", "--batch", "--json"]),
        (
            "search",
            ["--top", "--candidates", "--roi", "--where", "--exclude-same-patient", "--picture", "--json"],
        ),
        ("search", ["--batch", "--all", "--out", "--explain"]),
        ("search", ["--sr", "--sc", "--fhir", "--csv", "--store-to", "--stow", "--ae-title"]),
        ("search", ["--site", "--deadline", "--require-all"]),
        ("federation status", ["--site", "--deadline", "--json"]),
        ("evaluate", ["--split", "--against", "--rule", "--compare", "--csv", "--picture", "--reliability", "--json"]),
        ("encoder list", ["--json"]),
        ("encoder activate", []),
        ("encoder delete", ["--json"]),
        ("encoder export", ["--encoder", "--json"]),
        ("encoder import", ["--json"]),
        ("encoder report", ["--encoder", "--picture", "--json"]),
        ("audit labels", ["--top", "--where", "--encoder", "--picture", "--csv", "--json"]),
        ("audit dismiss", []),
        ("audit list", ["--since", "--until", "--who", "--action", "--json"]),
        ("audit verify", ["--json"]),
        ("audit export", ["--since", "--until", "--format", "--json"]),
        ("audit prune", ["--older-than", "--json"]),
        ("feedback export", []),
        ("status", ["--json"]),
        ("metrics", ["--out"]),
        (
            "forget",
            [
                "--patient",
                "--issuer",
                "--study",
                "--image",
                "--older-than",
                "--origin",
                "--reason",
                "--dry-run",
                "--json",
            ],
        ),
        ("forget", ["--allow"]),
        ("withdraw", ["--patient", "--issuer", "--study", "--image", "--reason", "--undo", "--dry-run", "--json"]),
        ("health", ["--waiting", "--expect", "--only", "--json"]),
        ("index build", ["--kind", "--json"]),
        ("backup", ["--keys", "--passphrase-file", "--jobs", "--verify", "--verify-only", "--scratch", "--json"]),
        ("restore", ["--keys", "--passphrase-file", "--skip-damaged", "--json"]),
        (
            "export",
            ["--where", "--ids", "--images", "--index", "--deidentify", "--key", "--accept-burned-in", "--json"],
        ),
        ("patient-key rotate", ["--json"]),
        ("patient-key of", ["--issuer", "--json"]),
        ("patient-key accept", ["--json"]),
        ("phantom", ["--images", "--classes", "--layout"]),
        ("demo", []),
    ],
)
def test_the_contract_is_kept(command: str, options: list[str]) -> None:
    sections = {part.partition("`")[0]: part for part in real().split("## `radretrieval ")[1:]}
    assert command in sections
    assert [option for option in options if f"{option}" not in sections[command]] == []


def test_every_option_says_what_it_does() -> None:
    silent = [line for line in real().splitlines() if line.startswith("| `") and line.endswith("|  |")]
    assert silent == []


@pytest.fixture
def toy() -> str:
    """The reference of a small app with what ours has: options of all commands, groups, hidden things."""
    app, group = typer.Typer(add_completion=False), typer.Typer()
    app.add_typer(group, name="db")

    @app.callback()
    def every(url: Annotated[str, typer.Option("--database-url", help="Where.")] = "here") -> None: ...

    @app.command()
    def search(
        file: Annotated[str, typer.Argument(help="What.")],
        top: Annotated[int, typer.Option(help="How many.", metavar="A|B")] = 10,
        secret: Annotated[bool, typer.Option("--secret", hidden=True)] = False,
    ) -> None:
        """Finds.

        And more.
        """

    @group.command()
    def check() -> None:
        """Looks."""

    @app.command(hidden=True)
    def internal() -> None: ...

    return reference(get_command(app))


def test_the_generator_walks_groups_and_leaves_out_what_is_hidden(toy: str) -> None:
    assert toy.count("## `") == 2
    assert "## `radretrieval db check`\n\nLooks.\n" in toy
    assert "## `radretrieval search`\n\nFinds.\n\nAnd more.\n" in toy
    assert "internal" not in toy
    assert "--secret" not in toy


def test_the_generator_gives_arguments_options_and_defaults(toy: str) -> None:
    head, _, search = toy.partition("radretrieval search")
    assert "--database-url" in head
    assert "| What. [required] |" in search
    assert "| `--top A\\|B` | How many. [default: 10] |" in search


def test_renewing_changes_only_what_is_between_the_markers() -> None:
    before = f"# Title\n{BEGIN}\nold\n{END}\nafter\n"
    assert replaced(before, "new") == f"# Title\n{BEGIN}\nnew\n{END}\nafter\n"
    assert written(replaced(before, "new")) == "new"
    with pytest.raises(ValueError, match="has no"):
        replaced("# Title\n", "new")
