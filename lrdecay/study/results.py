"""What a study comes to: its summaries, and the files that hold them."""

import dataclasses

from lrdecay.figures import svg
from lrdecay.study.figures import curves
from lrdecay.study.folder import Folder
from lrdecay.study.history import History
from lrdecay.study.plan import Plan
from lrdecay.study.report import page
from lrdecay.study.run import Timing, identity
from lrdecay.study.statistics import ArmSummary, as_json, summarise
from lrdecay.study.words import count


def summaries_of(plan: Plan, history: History) -> list[ArmSummary]:
    """One summary an arm, in the plan's order."""
    names = [arm.name for arm in plan.arms]
    return summarise(history, names, plan.config.target_accuracy, plan.run.steps_per_epoch)


def facts_of(plan: Plan, timing: Timing, seconds: float) -> str:
    """A line on what was run and how long it took, in seconds."""
    at_most = "at most " if len(plan.stages) > 1 else ""
    return (
        f"{count(len(plan.arms), 'arm')}, {count(len(plan.config.seed_list), 'seed')}, "
        f"{at_most}{count(plan.run.steps, 'step')} each ({count(plan.config.epochs, 'epoch')}). "
        f"{seconds:.0f} s, of which {timing.compile_seconds:.0f} s compiling."
    )


def write_results(
    plan: Plan, folder: Folder, history: History, timing: Timing, seconds: float
) -> None:
    """Writes the report, the figure and the summary of a study.

    Args:
      plan: the study.
      folder: its folder.
      history: its record.
      timing: where the time went.
      seconds: how long it took in all.
    """
    config, this = plan.config, identity(plan)
    summaries = summaries_of(plan, history)
    names = [arm.name for arm in plan.arms]
    figure = svg(curves(history, names, plan.run.steps_per_epoch, config.target_accuracy))
    facts = facts_of(plan, timing, seconds)
    text = page(this["config"], facts, summaries, figure, this["versions"])
    summary = {
        "arms": [as_json(summary) for summary in summaries],
        "seconds": seconds,
        **dataclasses.asdict(timing),
        **this,
    }
    folder.finish(report=text, figure=figure, summary=summary)
