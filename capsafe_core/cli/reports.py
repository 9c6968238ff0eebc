"""Commands that write findings: reports, figures, citations.

What draws and writes is imported by the command that uses it: the others start without it.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from capsafe_core.cli.options import SCOPE, SPECIFICATION, selecting
from capsafe_core.cli.owner_calls import do
from capsafe_core.cli.terminal import read_bytes, read_text, say, write_file
from capsafe_core.errors import CapsafeError
from capsafe_core.selection import Selection
from capsafe_core.settings import Settings

commands = typer.Typer()

Findings = Annotated[
    list[str] | None,
    typer.Option(
        help="a finding, in the order of the report: overview[:RECIPE], capability, conclusion[:CLAIM], "
        "judges, incoherence, output:ID; text:NAME for a text of your own between findings"
    ),
]
Written = Annotated[
    Path | None,
    typer.Option(
        help="an HTML report, or a card of the gate (.md), whose numbers are computed again; those that "
        "differ are named"
    ),
]


@commands.command()
@selecting(SCOPE, SPECIFICATION)
def report(
    chosen: Selection,
    target: Annotated[
        Path | None,
        typer.Argument(
            help="the new file: .html, .pdf, .pptx, or .zip (the report and the study's tables, to read "
            "without a server); without it, what can be reported is listed"
        ),
    ] = None,
    item: Findings = None,
    words: Annotated[
        list[str] | None,
        typer.Option(
            help="a sentence of your own for a finding, as KEY=SENTENCE; the drafted one stays beside it"
        ),
    ] = None,
    show: Annotated[
        list[str] | None,
        typer.Option(help="the id of an output whose text is shown; all others are redacted"),
    ] = None,
    audience: Annotated[
        str,
        typer.Option(
            help="stakeholder (plain words, one finding a page) "
            "or reviewer (methods, tables, everything left out)"
        ),
    ] = "stakeholder",
    title: str = "",
    logo: Annotated[Path | None, typer.Option(help="a PNG or JPEG for every page")] = None,
    verify: Written = None,
) -> None:
    """Write a report of findings, or compute the numbers of one again."""
    from capsafe_core.report.document import Report, items_of

    settings = Settings()
    if verify:
        _verify(settings, verify)
    elif target is None:
        for row in do(settings, "list findings", selection=chosen.to_query())["rows"]:
            say(f"{row['item']:44} {row['finding']}")
    else:
        form = _form(target)
        contents = Report(title, items_of(item or (), words or (), show or ()), audience)
        made = do(
            settings,
            "report",
            report=dataclasses.asdict(contents),
            selection=chosen.to_query(),
            form=form,
            logo=read_bytes(logo).hex() if logo else "",
        )
        _write(target, made[form])
        say(str(target))


FORMS = {".html": "html", ".pdf": "html", ".pptx": "pptx", ".zip": "zip"}
"""ending of a report -> the form in which the store's owner makes it"""


def _form(target: Path) -> str:
    if target.suffix not in FORMS:
        raise CapsafeError(f"No report has the ending {target.suffix!r}.", "Use .html, .pdf, .pptx or .zip.")
    return FORMS[target.suffix]


def _write(target: Path, made: str) -> None:
    """Write a report; what is not HTML comes in hexadecimal digits."""
    from capsafe_core.report.html import to_pdf

    if target.suffix == ".html":
        write_file(target, made.encode("utf-8", "replace"))
    else:
        write_file(target, to_pdf(made) if target.suffix == ".pdf" else bytes.fromhex(made))


def _verify(settings: Settings, path: Path) -> None:
    """Compute the numbers of an HTML report or of a gate's card again.

    Raises:
        CapsafeError: some come out differently.
    """
    from capsafe_core.report.card import differences, read_card
    from capsafe_core.report.document import read_provenance

    if path.suffix == ".md":
        card = read_card(read_text(path))
        different = differences(card, do(settings, "gate", study=card["study"]))
    else:
        different = do(settings, "verify report", provenance=read_provenance(path))["differences"]
    if different:
        raise CapsafeError(
            "\n".join(different), f"{len(different)} differ: the store has changed, or capsafe has."
        )
    say("Every number comes out the same.")


@commands.command()
@selecting(SCOPE, SPECIFICATION)
def figure(
    chosen: Selection,
    item: Annotated[
        str, typer.Argument(help="overview[:RECIPE], capability, conclusion[:CLAIM], judges or incoherence")
    ],
    target: Annotated[Path, typer.Argument(help="the new file: .svg or .pdf")],
    width: Annotated[str, typer.Option(help="one or two columns of a journal: 85 or 175 mm")] = "one",
) -> None:
    """Write the figure of a finding for print; its alt text goes along."""
    from plotly.io import from_json

    from capsafe_core.report.printed import to_figure_pdf, to_svg

    selection = chosen.to_query()
    if target.suffix not in (".svg", ".pdf"):
        raise CapsafeError(f"No figure has the ending {target.suffix!r}.", "Use .svg or .pdf.")
    made = do(Settings(), "figure", item=item, selection=selection)
    drawn = from_json(made["figure"])
    write_file(
        target,
        to_svg(drawn, made["alt"], width).encode("utf-8", "replace")
        if target.suffix == ".svg"
        else to_figure_pdf(drawn, made["alt"], width),
    )
    say(f"{target}\nalt text: {made['alt']}")


GATE = {"pass": 0, "fail": 1, "undecided": 3}
"""exit codes of the gate; 2 is an error"""


@commands.command()
def gate(
    study_file: Annotated[
        Path, typer.Argument(metavar="STUDY", help="the study file, which declares the margins")
    ],
    as_json: Annotated[Path | None, typer.Option("--json", help="write every check to this file")] = None,
    card: Annotated[
        Path | None, typer.Option(help="write a Markdown card for a pull request to this file")
    ] = None,
) -> None:
    """Pass (exit 0), fail (1) or undecided (3): goals reached, and no worse than the margins declared."""
    from capsafe_core.report.card import to_card
    from capsafe_core.study import load_study

    study, _ = load_study(study_file)
    found = do(Settings(), "gate", study=study.name, primary=study.primary_digest)
    if as_json:
        write_file(as_json, (json.dumps(found, indent=1) + "\n").encode("utf-8", "replace"))
    if card:
        write_file(card, to_card(found).encode("utf-8", "replace"))
    say(found["paragraph"])
    raise typer.Exit(GATE[found["answer"]])


@commands.command()
@selecting(SCOPE, SPECIFICATION)
def cite(chosen: Selection) -> None:
    """BibTeX of the benchmarks, judges and methods that a selection uses."""
    say(do(Settings(), "cite", selection=chosen.to_query())["text"], nl=False)
