"""How fluent the window stays while training runs at full speed, and what that costs the training.

Counts real paint events of the panels and the gaps between the ticks of a 16 ms timer, and compares the steps per
second with those of the same lanes trained without a window in the same process, before and after. Run as a script:

    python tests/benchmarks/window_fluency.py [seconds] [lanes]
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np


def thread_times() -> dict[str, dict[str, float]]:
    """Seconds that each thread has computed and has waited for a core (Linux); the rest of its time it was blocked."""
    found: dict[str, dict[str, float]] = {}
    try:
        for task in Path("/proc/self/task").iterdir():
            name = (task / "comm").read_text().strip()
            computed, waited, _slices = (task / "schedstat").read_text().split()
            found[name] = {"computing": int(computed) / 1e9, "waiting for a core": int(waited) / 1e9}
    except OSError:
        pass
    return found


def measure(seconds: float = 5.0, lanes: int = 2, size: tuple[int, int] = (1280, 720)) -> dict[str, Any]:
    """The figures, by name."""
    os.environ.setdefault("LAYERSCOPE_HOME", tempfile.mkdtemp())
    from PySide6.QtCore import QEvent, QEventLoop, QObject, QTimer
    from PySide6.QtWidgets import QApplication

    from layerscope.core.lessons import LESSONS
    from layerscope.core.run import Run
    from layerscope.desktop.app import make_window

    app = QApplication.instance() or QApplication(["layerscope"])
    experiments = list(itertools.islice(itertools.cycle(LESSONS["vanishing-gradients"].lanes), lanes))

    def headless() -> float:
        runs = [Run(experiment) for experiment in experiments]
        for run in runs:
            run.advance(100)  # the dense start of the schedules is over
        done, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds / 2:
            for run in runs:
                run.advance(20)
            done += 20
        return done / (time.perf_counter() - began)

    class Paints(QObject):
        count = 0

        def eventFilter(self, watched: QObject, event: QEvent) -> bool:
            if event.type() == QEvent.Type.Paint:
                self.count += 1
            return False

    before = headless()
    window = make_window(app)
    session = window.session
    window.resize(*size)
    window.show()
    for experiment in experiments[1:]:
        session.add_lane(experiment)
    session.set_value("training.epochs", 1_000_000, lane=0)

    def process(until: Any, limit: float) -> None:
        began = time.perf_counter()
        while not until() and time.perf_counter() - began < limit:
            app.processEvents()
            time.sleep(0.0005)

    def turn(duration: float) -> None:
        # not app.exec: leaving it closes the window
        loop = QEventLoop()
        QTimer.singleShot(int(duration * 1000), loop.quit)
        loop.exec()

    process(lambda: session.exact and session.scene is not None and len(session.scene.lanes) == lanes, 60)
    counters = []
    for panel in window.panels.panels:
        paints = Paints()
        target = getattr(panel.view, "canvas", panel.view)
        target.installEventFilter(paints)
        viewport = getattr(target, "viewport", None)
        if viewport is not None:
            viewport().installEventFilter(paints)
        counters.append(paints)
    bars = Paints()
    window.transport.timeline.installEventFilter(bars)
    frames = 0

    def frame() -> None:
        nonlocal frames
        frames += 1

    session.scene_changed.connect(frame)
    ticks: list[float] = []
    timer = QTimer()
    timer.setInterval(16)
    timer.timeout.connect(lambda: ticks.append(time.perf_counter()))
    session.play()
    turn(1.0)
    for paints in (*counters, bars):
        paints.count = 0
    frames = 0
    timer.start()
    threads = thread_times()
    first, began = session.position, time.perf_counter()
    turn(seconds)
    passed = time.perf_counter() - began
    inside = (session.position - first) / passed
    shares = {
        name: {kind: round((now[kind] - threads[name][kind]) / passed, 2) for kind in now}
        for name, now in thread_times().items()
        if name in threads
    }
    timer.stop()
    session.pause()
    process(lambda: session.exact, 20)
    window.session.undo_stack.setClean()
    session._unsaved_document = False
    window.close()
    session.deleteLater()
    after = headless()
    gaps = np.diff(ticks) * 1000.0
    alone = (before + after) / 2
    return {
        "lanes": lanes,
        "timer p50 ms": round(float(np.percentile(gaps, 50)), 1),
        "timer p99 ms": round(float(np.percentile(gaps, 99)), 1),
        "timer max ms": round(float(gaps.max()), 1),
        "frames a second": round(frames / passed, 1),
        "timeline paints a second": round(bars.count / passed, 1),
        "panel paints a second": [round(paints.count / passed, 1) for paints in counters],
        "steps/s in the window": round(inside, 1),
        "steps/s without": [round(before, 1), round(after, 1)],
        "share": round(inside / alone, 3),
        "shares of threads": shares,
    }


if __name__ == "__main__":
    numbers = [float(word) for word in sys.argv[1:]]
    print(json.dumps(measure(*(numbers[:1] or [5.0]), *(int(n) for n in numbers[1:2])), indent=1))
