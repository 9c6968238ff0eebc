"""Do annotators agree, and how well do judges match their labels?"""

from capsafe_core.analysis.annotators import annotators_table, conflicts_table
from capsafe_core.store.labels import people_work
from capsafe_core.ui import (
    adjudicate,
    corrected,
    detector,
    guidelines,
    label_files,
    people_agreement,
    queues,
    screen,
)
from capsafe_core.ui.acting import actor
from capsafe_core.ui.sections import tabs
from capsafe_core.workspace.owner import current_owner

with screen.question("Do annotators agree, and how well do judges match their labels?") as view:
    owner, person = current_owner(), actor()
    found = screen.remembered(view, "annotators", lambda: annotators_table(view))
    conflicts = screen.remembered(view, "conflicts", lambda: conflicts_table(view))
    work = people_work(owner.store)
    people_agreement.headline(found, work, len(conflicts))
    tabs(
        {
            "queues": ("Queues", lambda: queues.show(view, owner, person)),
            "agreement": ("Agreement", lambda: people_agreement.show(view, found, work)),
            "disputes": ("Disputes", lambda: adjudicate.show(view, conflicts, owner)),
            "corrected": ("Corrected rates", lambda: corrected.show(view)),
            "detector": ("Learnt detector", lambda: detector.show(view, owner)),
            "guidelines": ("Guidelines", lambda: guidelines.show(owner)),
            "files": ("Import and export", lambda: label_files.show(view, owner)),
        }
    )
