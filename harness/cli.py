"""The command line: `softbench` or `python -m harness`."""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperCommand

from harness.errors import InputError
from harness.pool.local import TIMEOUT, Pool
from harness.schema.fields import MOST_STEPS, parse_seeds
from harness.schema.suite import SUITES, load_suite, suite_names

EXIT_INCOMPLETE, EXIT_INPUT, EXIT_DIFFERENT = 1, 2, 3
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
GO_ON = "the same command goes on from the last checkpoints"

app = typer.Typer(
    help="Does the soft version of a reinforcement learning algorithm beat its hard version? Train pairs over seeds, report the evidence.",
    epilog="\b\nExamples:\n  softbench list\n  softbench train smoke\n  softbench report smoke\n  softbench bench --pair ppo",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command("list", epilog="\b\nExample:\n  softbench list")
def list_command() -> None:
    """Show the suites with their cells, and the pairs with their arms."""
    from harness.run.spec import learner_class, pair_names

    console = Console()
    suites = Table("suite", "pair", "tasks", "seeds", "steps a member", title="Suites", title_justify="left")
    for name in suite_names():
        suite = load_suite(name)
        for pair, tasks in suite.cells.items():
            steps = sorted({suite.tasks[task].steps for task in tasks})
            suites.add_row(
                name,
                pair if suite.imported is None else f"{pair} (imported)",
                ", ".join(tasks),
                str(len(suite.seeds)),
                ", ".join(f"{count:,}" for count in steps),
            )
    arms = Table("pair", "arm", "soft", "what it is", title="Pairs", title_justify="left")
    for pair in pair_names():
        for arm, definition in learner_class(pair).arms.items():
            arms.add_row(pair, arm, "soft" if definition.soft else "hard", definition.title)
    if suites.rows:
        console.print(suites)
    else:
        console.print(f"no suites: there is no {SUITES}/*/suite.yaml in this folder\n", highlight=False, soft_wrap=True)
    console.print(arms)


class RayAlone(TyperCommand):
    """`--ray` without an address means `--ray local`: typer knows no option whose value may be left out."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        words = list(args)
        if "--ray" in words and [*words, "-"][words.index("--ray") + 1].startswith("-"):
            words.insert(words.index("--ray") + 1, "local")
        return super().parse_args(ctx, words)


@app.command(
    cls=RayAlone,
    epilog="\b\nExamples:\n  softbench train smoke\n"
    "  softbench train classic --pair dqn --task CartPole-v1 --arms dqn,soft-dqn-kl\n"
    "  softbench train classic --seeds 0-19 --workers 8\n"
    "  softbench train classic --ray 10.0.0.1:6379 --workers 64",
)
def train(
    suite: Annotated[str, typer.Argument(help="name of a suite, see `softbench list`")],
    pair: Annotated[str | None, typer.Option(help="only this pair")] = None,
    task: Annotated[str | None, typer.Option(help="only this task")] = None,
    arms: Annotated[str | None, typer.Option(help="only these arms, comma-separated")] = None,
    seeds: Annotated[
        str | None, typer.Option(help="these seeds instead of the suite's, for example 0-9 or 0,3,7")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, max=MOST_STEPS, help="environment steps a member, instead of the task's")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="worker processes, one core each")] = os.cpu_count()
    or 1,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda; auto is cuda where there is one")] = "auto",
    out: Annotated[Path, typer.Option(help="folder for results (and checkpoints, in .runs)")] = Path("results"),
    timeout: Annotated[
        float, typer.Option(min=10, help="seconds without an environment step after which a worker hangs")
    ] = TIMEOUT,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="[ADDRESS]", help="train on the Ray cluster at ADDRESS (auto: the one here), or a new one here"
        ),
    ] = None,
) -> None:
    """Train the cells of a suite, or go on where training stopped. What is finished is not trained again."""
    from harness import training
    from harness.plan.cells import choose_device, make_plans
    from harness.progress import Display

    try:
        chosen_seeds = None if seeds is None else parse_seeds(seeds)
    except ValueError as error:
        raise InputError(f"--seeds: {error}") from error
    if not out.name:
        raise InputError(f"--out: {str(out)!r} is no folder of its own; write for example --out results")
    chosen_arms = None if arms is None else [arm.strip() for arm in arms.split(",")]
    loaded = load_suite(suite) if steps is None else load_suite(suite).at_budget(steps)
    if ray is None:
        engine: training.Engine = partial(Pool, timeout=timeout)
    else:
        from harness.pool.ray import RayEngine, require_ray

        require_ray()
        engine = partial(RayEngine, timeout=timeout, address=ray)
    plans = make_plans(loaded, out, choose_device(device), pair, task, chosen_arms, chosen_seeds)
    with Display(Console()) as display:
        complete = training.run(plans, workers, display, engine)
    if steps is not None:
        print(f"another budget is another suite; its report: softbench report {loaded.name}")
    if not complete:
        print("softbench: incomplete: some cohorts failed (above); the same command tries them again", file=sys.stderr)
        raise typer.Exit(EXIT_INCOMPLETE)


@app.command(
    "import", epilog="\b\nExamples:\n  softbench import runs/sb3.yaml --check\n  softbench import runs/sb3.yaml"
)
def import_command(
    file: Annotated[
        Path, typer.Argument(help="import file (YAML): which log files hold which runs; see docs/import.md")
    ],
    results: Annotated[Path, typer.Option(help="folder for the results")] = Path("results"),
    check: Annotated[bool, typer.Option("--check", help="only show what was understood; write nothing")] = False,
) -> None:
    """Read runs of CleanRL, Stable-Baselines3, Weights & Biases or a table, show what was understood, write a suite and its results."""
    from harness.imports import importer
    from harness.imports.schema import load_import

    config = load_import(file)
    runs = importer.read_runs(config, file.parent)
    console = Console()
    console.print(importer.overview(config, runs))
    for line in importer.left_out(runs):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if not check:
        for path in importer.write(config, runs, file, results):
            print(path)


@app.command(epilog="\b\nExamples:\n  softbench report\n  softbench report smoke classic --out site")
def report(
    suites: Annotated[
        list[str] | None, typer.Argument(help="suites to report; all that have results where none is given")
    ] = None,
    out: Annotated[Path, typer.Option(help="folder for the pages")] = Path("site"),
    results: Annotated[Path, typer.Option(help="folder of the results")] = Path("results"),
) -> None:
    """Write the HTML report from the results: an index and a page a suite. Trains nothing."""
    from reports.site.site import build

    for path in build(suites or [], out, results):
        print(path)


@app.command(
    epilog="\b\nExamples:\n  softbench judge\n  softbench judge classic --json\n  softbench judge smoke --fail-on invalid,not-measured\n\n"
    "Exit code 0: nothing that --fail-on names; 4: a claim does not hold as it says (contradicted, "
    "below the margin, no relevant difference); 5: not measured; 6: invalid; 7: inconclusive."
)
def judge(
    suites: Annotated[
        list[str] | None, typer.Argument(help="suites to judge; all that have a ledger where none is given")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print a list of objects")] = False,
    fail_on: Annotated[
        str, typer.Option(help="verdicts that end in an exit code other than 0, comma-separated, or none")
    ] = "contradicted,below-the-margin,no-relevant-difference,not-measured,invalid",
    results: Annotated[Path, typer.Option(help="folder of the results")] = Path("results"),
) -> None:
    """Judge the claims of the suites' ledgers by the tests fixed there. Trains nothing."""
    from harness.commands import judging

    failing = judging.parse_fail_on(fail_on)
    found = judging.judge_suites(suites or [], results)
    verdicts = [verdict for of_suite in found.values() for verdict in of_suite]
    if as_json:
        print(
            json.dumps(
                [{"suite": name, **verdict.to_json()} for name, each in found.items() for verdict in each], indent=1
            )
        )
    else:
        print("\n\n".join("\n".join(judging.lines(name, each)) for name, each in found.items()))
    code = judging.exit_code(verdicts, failing)
    if code:
        raise typer.Exit(code)


@app.command(
    epilog="\b\nExamples:\n  softbench gate smoke --write\n  softbench gate smoke\n\n"
    "Exit code 0: no supported loss; 4: a supported loss; 5: something of the baseline was not measured."
)
def gate(
    suite: Annotated[str, typer.Argument(help="name of a suite that has results")],
    baseline: Annotated[
        Path | None, typer.Option(help="the baseline's file; suites/<suite>/baseline.json where none is given")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="make these results the baseline")] = False,
    results: Annotated[Path, typer.Option(help="folder of the results")] = Path("results"),
) -> None:
    """Compare these results with the last release's. Fails on a statistically supported loss alone, not on noise."""
    from harness.commands import gating

    if write:
        print(gating.write_baseline(suite, results, baseline))
        return
    changes = gating.compare_baseline(suite, results, baseline)
    print("\n".join(gating.lines(suite, changes)))
    code = gating.gate_code(changes)
    if code:
        raise typer.Exit(code)


@app.command(
    epilog="\b\nExamples:\n  softbench decide C1-38\n  softbench decide classic/C5 --max-seeds 20\n\n"
    "Exit code 0: supported; 4: contradicted, below the margin or no relevant difference; 7: not decided by the most seeds."
)
def decide(
    claim: Annotated[str, typer.Argument(help="id of a claim, or suite/id, see `softbench judge`")],
    max_seeds: Annotated[int, typer.Option(min=5, max=1000, help="most seeds of each arm")] = 40,
    block: Annotated[int, typer.Option(min=5, max=1000, help="seeds of each arm that are added before each look")] = 5,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="worker processes, one core each")] = os.cpu_count()
    or 1,
    results: Annotated[Path, typer.Option(help="folder of the results (and checkpoints, in .runs)")] = Path("results"),
) -> None:
    """Add seeds in blocks until a group-sequential test decides a claim, with the error rates of a single test."""
    from harness import training
    from harness.commands import deciding
    from harness.commands.judging import EXITS
    from harness.plan.cells import Plan
    from harness.progress import Display
    from reports.statistics import sequential

    def train(plans: list[Plan]) -> bool:
        with Display(Console()) as display:
            return training.run(plans, workers, display)

    if max_seeds < block:
        raise InputError(f"--max-seeds: {max_seeds} is below --block, {block}; the first look alone takes a block")
    looks = sequential.blocks(block, block, max_seeds)
    verdict, path = deciding.decide(claim, looks, results, train, lambda look: print(deciding.line(look)))
    if verdict is None:
        print("softbench: incomplete: some cohorts failed (above); the same command tries them again", file=sys.stderr)
        raise typer.Exit(EXIT_INCOMPLETE)
    print(f"{verdict}: {path}")
    if verdict in EXITS:
        raise typer.Exit(EXITS[verdict])


@app.command(
    epilog="\b\nExamples:\n  softbench audit results/classic\n  softbench audit results/smoke/ppo/CartPole-v1 --members 5\n"
    "  softbench audit results/smoke --segments 4\n\nExit code 0: equal; 3: different; 2: cannot be audited here."
)
def audit(
    run: Annotated[Path, typer.Argument(help="folder of a run: results/<suite>, or a folder of one cell in it")],
    members: Annotated[
        int | None,
        typer.Option(min=1, help="members to draw and to train again alone; 3 where --segments is not given"),
    ] = None,
    segments: Annotated[
        int | None, typer.Option(min=1, help="segments to draw and to execute again, from kept checkpoints")
    ] = None,
    seed_of_draw: Annotated[
        int | None, typer.Option(min=0, help="makes the draw repeatable; else it cannot be foreseen")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="worker processes, one core each")] = os.cpu_count()
    or 1,
) -> None:
    """Recompute drawn members or segments of a run, compare them bit for bit with its hash chain, and write a certificate."""
    from harness.audit import certificate as auditing
    from harness.progress import Display

    if members is None and segments is None:
        members = 3
    drawn_by = secrets.randbits(32) if seed_of_draw is None else seed_of_draw
    with Display(Console()) as display:
        verdict = auditing.audit(run, members, segments, drawn_by, workers, display)
    print(f"{verdict} (seed of the draw: {drawn_by})")
    if verdict != auditing.EQUAL:
        raise typer.Exit(EXIT_DIFFERENT if verdict == auditing.DIFFERENT else EXIT_INPUT)


@app.command(
    epilog="\b\nExamples:\n  softbench bench --pair ppo\n  softbench bench --pair dqn --members 10 --workers 1 --peer sb3 --json"
)
def bench(
    pair: Annotated[str, typer.Option(help="pair to measure")] = "ppo",
    task: Annotated[str, typer.Option(help="task to measure on")] = "CartPole-v1",
    arm: Annotated[str | None, typer.Option(help="arm to measure; the pair's first where none is given")] = None,
    members: Annotated[int, typer.Option(min=1, max=10_000, help="members, all together")] = 20,
    workers: Annotated[
        int | None, typer.Option(min=1, max=1024, help="worker processes, one core each; all cores where not given")
    ] = None,
    peer: Annotated[str | None, typer.Option(help="compare with a known library on the same work: sb3")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, max=600, help="length of each measurement")] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="print a list of objects")] = False,
) -> None:
    """Measure steps a second: all members together, one alone, the environments, the arithmetic limit, and a peer."""
    from harness.bench import measure as measuring

    rows = measuring.run(
        pair=pair,
        arm=arm,
        task=task,
        members=members,
        workers=workers or min(os.cpu_count() or 1, members),
        peer=peer,
        seconds=seconds,
    )
    if as_json:
        print(json.dumps(rows, indent=1))
    else:
        Console().print(measuring.table(rows))


@app.command(
    epilog="\b\nExamples:\n  softbench theory\n  softbench theory --statement 8 --cases 500 --seed 3\n  softbench theory --json"
)
def theory(
    statement: Annotated[int | None, typer.Option(help="only this statement, 1 to 17")] = None,
    cases: Annotated[int, typer.Option(min=1, max=10_000, help="random problems for each statement")] = 120,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="seed of the random problems")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="print a list of objects")] = False,
    out: Annotated[Path | None, typer.Option(help="folder to write theory.json to, for the report's page")] = None,
) -> None:
    """Check the sources' exact statements with the code that trains, and that errors planted in it are caught.

    Exit code 1 if a statement fails or a planted error passes.
    """
    from harness.commands import checking

    records, seconds = checking.run(statement, cases, seed)
    if as_json:
        print(json.dumps(checking.summary(records), ensure_ascii=False, indent=1))
    else:
        Console().print(checking.table(records, seconds))
    if out is not None:
        checking.write(records, seconds, out)
    wrong = checking.complaints(records)
    if wrong:
        print("\n".join(f"softbench: {line}" for line in wrong), file=sys.stderr)
        raise typer.Exit(EXIT_INCOMPLETE)


@app.command(epilog="\b\nExamples:\n  softbench coverage\n  softbench coverage --out coverage")
def coverage(
    out: Annotated[Path, typer.Option(help="folder to write coverage.json to, for the report's page")] = Path(
        "results/coverage"
    ),
) -> None:
    """Simulate how often the reports' intervals cover the truth and how often their verdicts are false. About a minute."""
    from reports.site.coverage import findings
    from reports.statistics import coverage as simulation

    try:
        path = simulation.write(out)
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written: {error.strerror or error}") from error
    for line in findings(json.loads(path.read_text())):
        print(line)
    print(path)


def main() -> None:
    """Run the command line. Wrong input is one line on stderr and exit code 2; Ctrl-C is 130, SIGTERM 143, SIGUSR1 138."""
    for number in SIGNALS:
        signal.signal(number, _terminate)
    try:
        result = app(sys.argv[1:] or ["--help"], standalone_mode=False)
        code = result if isinstance(result, int) else 0
    except Terminated as error:
        code = _say(f"{'stopped' if error.number == signal.SIGINT else 'terminated'}; {GO_ON}", 128 + error.number)
    except InputError as error:
        code = _say(str(error), EXIT_INPUT)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    except OSError as error:  # no space, a damaged disk, all checkpoints of a member damaged
        code = _say(f"{error}; nothing that was finished is lost: {GO_ON}", EXIT_INCOMPLETE)
    except Exception as error:
        if not hasattr(error, "format_message"):  # typer's usage errors have it; their class moved between its versions
            raise
        code = _say(error.format_message().replace("Input should", "must") + " (see `softbench --help`)", EXIT_INPUT)
    sys.exit(code)


def _say(message: str, code: int) -> int:
    print(f"softbench: {' '.join(message.split())}", file=sys.stderr)
    return code


class Terminated(Exception):
    """A signal asked the process to end."""

    def __init__(self, number: int) -> None:
        self.number = number


def _terminate(number: int, frame: FrameType | None) -> None:
    for other in (
        SIGNALS
    ):  # schedulers send several; one is enough, and ending takes a second (SIG_IGN would complain of one on its way)
        signal.signal(other, lambda *_: None)
    raise Terminated(number)
