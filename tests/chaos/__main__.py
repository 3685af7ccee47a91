"""``make chaos``: at least a hundred faults on both databases, Ray and local launcher, and a control run.

Exit status 0: every trial has one result, the same bit for bit as without faults; nothing was lost, counted
twice or answered wrongly, everything ran again in time; and without the fence stale reports were stored.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from tests.chaos import campaign, faults
from tests.chaos.arena import Arena, Rules
from tests.chaos.campaign import Outcome, Plan, Struck
from tests.chaos.faults import Fault
from tests.chaos.results import Result
from tests.chaos.sweeps import KINDS, MANY, SWEEPS

BACKENDS = ("sqlite", "postgresql")
GOAL_LEASES, GOAL_SECONDS = 2, 30.0
CONTROL_FAULTS = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = _options(arguments)
    rules = Rules(launchers=options.launchers, lease_seconds=options.lease)
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory(prefix="hb-chaos-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL runs as a user of its own
        _say("compiling what is not yet in the cache of programs")
        campaign.undisturbed(SWEEPS[:KINDS], _made(folder / "warm"))
        for number, backend in enumerate(options.backends):
            count = (options.faults + number) // len(options.backends)
            _say(f"\n{backend}: {count} faults, lease {options.lease:g} s, {' and '.join(options.launchers)}")
            plan = Plan(
                backend=backend,
                rules=rules,
                faults=lambda arena, chance, count=count: faults.draw(arena, count, chance),  # type: ignore[misc]
                sweeps=SWEEPS,
                seed=options.seed + number,
            )
            outcomes[backend] = campaign.run(plan, _made(folder / backend), _say)
        most = max(outcome.sweeps for outcome in outcomes.values())
        _say(f"\nundisturbed: the same {most} sweeps")
        calm = campaign.undisturbed(SWEEPS[:most], _made(folder / "calm"))
        control = _control(rules, folder) if options.control else None
    passed = [_report(backend, outcome, calm, options.lease) for backend, outcome in outcomes.items()]
    _say(_by_kind([struck for outcome in outcomes.values() for struck in outcome.struck]))
    if control is not None:
        passed.append(_report_control(control))
    return 0 if all(passed) else 1


def _control(rules: Rules, folder: Path) -> Outcome:
    """Frozen nodes that wake up, with nobody to refuse what they report."""
    _say(f"\ncontrol, the fence switched off: {CONTROL_FAULTS} frozen nodes")
    unfenced = Rules(launchers=rules.launchers, lease_seconds=rules.lease_seconds, fenced=False)
    fitting = [f for f in faults.NODE_FROZEN if f.launcher in rules.launchers]

    def frozen(_arena: Arena, _chance: object) -> list[Fault]:
        return [fitting[n % len(fitting)] for n in range(CONTROL_FAULTS)]

    plan = Plan(backend="sqlite", rules=unfenced, faults=frozen, sweeps=SWEEPS)
    return campaign.run(plan, _made(folder / "control"), _say)


def _report(backend: str, outcome: Outcome, calm: dict[str, Result], lease: float) -> bool:
    """Print what came of a campaign; returns whether it is as it should be."""
    recoveries = [struck.recovery for struck in outcome.struck]
    goal = min(GOAL_LEASES * lease, GOAL_SECONDS)
    late = sum(recovery > goal for recovery in recoveries)
    unlike = outcome.unlike(calm)
    repeated = outcome.steps_done - outcome.steps_needed
    share = repeated / max(outcome.steps_needed, 1)
    seen = ", ".join(f"{status or 'no answer'}: {count}" for status, count in sorted(outcome.seen.items()))
    _say(
        f"\n{backend}: {len(recoveries)} faults in {outcome.seconds / 60:.1f} minutes, "
        f"{len(outcome.results)} trials of {outcome.sweeps} sweeps\n"
        f"  running again after: median {median(recoveries):.1f} s, worst {max(recoveries):.1f} s; "
        f"goal {goal:g} s, missed {late} times\n"
        f"  steps computed again: {repeated:,} of {outcome.steps_needed:,} ({share:.1%}), "
        f"{repeated / len(recoveries):,.0f} a fault\n"
        f"  lost {outcome.lost()}, doubled {sum(outcome.doubled)} (curves {outcome.doubled.curves}, "
        f"cells {outcome.doubled.cells}, references to nothing {outcome.doubled.references}), "
        f"unlike the undisturbed run {unlike}\n"
        f"  late reports refused: {outcome.refused}\n"
        f"  pages asked for meanwhile: {seen}"
    )
    wrong = outcome.lost() + sum(outcome.doubled) + unlike + outcome.unexpected()
    idle = outcome.sweeps == MANY
    if idle:
        _say(f"  all {MANY:,} sweeps were computed: the last faults met nothing that ran")
    return not wrong and not late and not idle


def _report_control(control: Outcome) -> bool:
    broken = sum(control.doubled)
    _say(
        f"\ncontrol: without the fence {control.stale_writes} attempts wrote after they were given up, "
        f"{broken} curves or cells are counted wrongly"
    )
    return control.stale_writes > 0


def _by_kind(struck: Sequence[Struck]) -> str:
    """A table of recovery times."""
    lines = ["", f"{'fault':46} {'times':>6} {'median':>8} {'worst':>8}"]
    for name in sorted({one.name for one in struck}):
        times = [one.recovery for one in struck if one.name == name]
        lines.append(f"{name:46} {len(times):6} {median(times):6.1f} s {max(times):6.1f} s")
    return "\n".join(lines)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    add = parser.add_argument
    add("--faults", type=int, default=100, help="of all databases together (default %(default)s)")
    add("--backends", nargs="+", choices=BACKENDS, default=BACKENDS, help="databases (default both)")
    add("--launchers", nargs="+", choices=("local", "ray"), default=("local", "ray"), help="default both")
    add("--lease", type=float, default=15.0, help="seconds (default %(default)s)")
    add("--seed", type=int, default=0, help="of what is left to chance")
    add("--no-control", dest="control", action="store_false", help="leave the control run out")
    return parser.parse_args(arguments)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _say(text: str) -> None:
    for line in text.split("\n"):
        sys.stdout.write(f"{time.strftime('%H:%M:%S')}  {line}\n" if line else "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: everything ends in order
    sys.exit(main())
