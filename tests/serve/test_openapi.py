"""The API does what its OpenAPI document says: no 500, no answer that it does not declare, for any input."""

from __future__ import annotations

import pytest
import schemathesis
from databases import Server
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import positive_data_acceptance
from serving import Films
from starlette.testclient import TestClient

from radretrieval.config import ServeSettings
from radretrieval.serve.app import create_app

CALLS = settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)

# Not checked: that what the document allows is accepted. No schema says that a query is exactly one of five fields,
# that a condition names a column, or that a region lies inside the film; 400 says it.


def test_the_api_keeps_to_its_document(server: Server, films: Films) -> None:
    failures: list[str] = []
    operations = 0
    with films.copy(server) as url:
        app = create_app(films.settings(url), ServeSettings(hosts=("testserver",)))
        with TestClient(app):
            document = schemathesis.openapi.from_asgi("/api/openapi.json", app)
            for found in document.get_all_operations():
                operation = found.ok()
                operations += 1

                @CALLS
                @given(case=operation.as_strategy())
                def call(case: schemathesis.Case) -> None:
                    case.call_and_validate(excluded_checks=[positive_data_acceptance])

                try:
                    call()
                except (FailureGroup, Exception) as error:
                    failures.append(f"{operation.label}: {error}")
    assert operations > 20
    if failures:
        pytest.fail("\n\n".join(failures))
