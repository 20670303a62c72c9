"""A gallery that a service keeps: the methods of `Gallery` over HTTP."""

from urllib.parse import quote

from lookalike.client.asking import Asking
from lookalike.client.changing import Changing
from lookalike.client.jobs import Job, job_of, wait_for
from lookalike.client.responses import Object, parse
from lookalike.results import DEFAULT_TENANT, RepairReport


class Client(Changing, Asking):
    """A gallery at `url`, with an access `key` where the service wants one. Safe to use from several threads.

    The methods, their results and their errors are those of `Gallery`, with these differences: what the service
    does not tell (paths of its files, ids) is missing; a `tenant` of "default" is the key's own; and every
    method may raise Unavailable where the service does not answer, AccessDenied where the key is missing or may not.
    Requests that change nothing more when they are repeated are made up to four times.
    """

    @property
    def pipelines(self) -> tuple[str, ...]:
        """The names of the gallery's pipelines, in order of precedence."""
        return tuple(pipeline.name for pipeline in self.status().pipelines)

    def repair(self) -> RepairReport:
        """Have the service check its catalog and build every index anew, and wait for it; a key of an admin may."""
        job = self.wait_for(self.start_job({"kind": "repair"}).id)
        return RepairReport(job.done, job.counts)

    def start_job(self, request: Object, *, tenant: str = DEFAULT_TENANT) -> Job:
        """Queue long work: `{"kind": "import", "urls": [...]}`, repair, duplicates or delete, as the API has them.

        Not repeated once it was sent, lest it be done twice.
        """
        return parse(job_of, self._json("POST", "/v1/jobs", tenant, dict(request), "unsent"))

    def job(self, id: str, *, tenant: str = DEFAULT_TENANT) -> Job:  # noqa: A002 - the API's own word
        """How a job stands; raises NotFound."""
        return parse(job_of, self._json("GET", f"/v1/jobs/{quote(id, safe='')}", tenant))

    def cancel_job(self, id: str, *, tenant: str = DEFAULT_TENANT) -> Job:  # noqa: A002
        """Stop a job where it is."""
        return parse(job_of, self._json("POST", f"/v1/jobs/{quote(id, safe='')}:cancel", tenant, {}))

    def wait_for(self, id: str, *, tenant: str = DEFAULT_TENANT, seconds: float | None = None) -> Job:  # noqa: A002
        """Wait until a job is done; raises what it failed over, Unavailable where it was cancelled or takes longer."""
        return wait_for(lambda: self.job(id, tenant=tenant), seconds)
