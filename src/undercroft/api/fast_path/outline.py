"""What is left of a call on the shortest way when it has ended, until its trace is asked for."""

import msgspec

from undercroft.gateway.call import Deployment
from undercroft.telemetry.spans import Attempt, Course
from undercroft.telemetry.tracing import Ids


class Outline(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Becomes the course that the stages would have noted. The call itself, with all that was asked, need not wait."""

    ids: Ids
    started: float
    """Monotonic seconds, as is `at`."""
    passed: tuple[str, ...]
    """Stages."""
    deployment: Deployment | None = None
    """None: the cache had the answer."""
    at: float = 0.0
    """Since when it was with the deployment."""

    @property
    def is_sampled(self) -> bool:
        return self.ids.is_sampled

    def course(self) -> Course:
        return self.course_of(self.attempt())

    def course_of(self, attempt: Attempt | None) -> Course:
        """With its attempt, where there was one."""
        ids = self.ids
        course = Course(
            ids.trace, ids.span, "", ids.is_sampled, self.started, passed=self.passed, passed_at=self.started
        )
        if attempt is not None:
            course.steps.append(attempt)
        return course

    def attempt(self) -> Attempt | None:
        deployment = self.deployment
        if deployment is None:
            return None
        return Attempt(self.ids.attempt, self.at, deployment.provider, deployment.upstream_model, deployment.id)
