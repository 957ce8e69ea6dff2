"""The dashboard under `AppTest`, run until no plan is being made any more."""

from streamlit.testing.v1 import AppTest

from planner.pages.state import Session

TIMEOUT_S = 120


def settle(app: AppTest) -> AppTest:
    """Run until no plan is being made any more."""
    while (job := session_of(app).job) is not None:
        assert job.finished.wait(TIMEOUT_S)
        app.run()
    assert not app.exception, app.exception[0].message
    return app


def session_of(app: AppTest) -> Session:
    found: Session = app.session_state["session"]
    return found
