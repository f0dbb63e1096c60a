"""The OpenAPI file: complete, and true for whatever is sent."""

import json

import hypothesis
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis.config import SchemathesisConfig
from starlette.routing import Route

from cyclegan_edge.runtime.web.app import HERE, ROUTES

DESCRIBED = json.loads((HERE / "openapi.json").read_text())["paths"]
FOR_PEOPLE = {"/", "/login"}
ENDLESS = "/v1/stream.mjpg"


def test_every_endpoint_is_described_with_its_methods() -> None:
    offered = {
        route.path: {method.lower() for method in route.methods or ()} - {"head"}
        for route in ROUTES
        if isinstance(route, Route) and route.path not in FOR_PEOPLE
    }
    described = {path: set(item) - {"parameters"} for path, item in DESCRIBED.items()}
    assert described == offered


def test_the_server_gives_the_file(server) -> None:
    answer = server.client.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["paths"] == DESCRIBED


@pytest.fixture(scope="module")
def schema(server, picture):
    for media_type, suffix in (("image/png", ".png"), ("image/jpeg", ".jpg"), ("image/webp", ".webp")):
        whole = picture(20, 24, suffix)
        cut = st.integers(0, len(whole)).map(lambda length, whole=whole: whole[:length])
        schemathesis.openapi.media_type(media_type, st.one_of(st.just(whole), cut, st.binary(max_size=200)))
    loaded = schemathesis.openapi.from_url(f"{server.url}/openapi.json", config=SchemathesisConfig())
    return loaded.exclude(path=ENDLESS)


OPERATIONS = [
    (method, path) for path, item in DESCRIBED.items() for method in item if method != "parameters" and path != ENDLESS
]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_answers_are_as_described_whatever_is_sent(schema, method: str, path: str) -> None:
    operation = schema[path][method]
    # What a body holds is checked by decoding it, so a body of the right type may well be refused.
    unknowable = [schemathesis.checks.CHECKS.get_one("positive_data_acceptance")]

    @hypothesis.given(
        case=st.one_of(operation.as_strategy(), operation.as_strategy(schemathesis.GenerationMode.NEGATIVE))
    )
    @hypothesis.settings(
        max_examples=25,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        derandomize=True,
        database=None,
    )
    def every_case(case: schemathesis.Case) -> None:
        case.call_and_validate(excluded_checks=unknowable, timeout=20)

    every_case()


def test_an_answer_that_is_not_described_is_found(server) -> None:
    document = json.loads((HERE / "openapi.json").read_text())
    del document["paths"]["/v1/videos/{id}"]["get"]["responses"]["404"]
    case = schemathesis.openapi.from_dict(document)["/v1/videos/{id}"]["GET"].Case(path_parameters={"id": "nothing"})
    with pytest.raises(schemathesis.core.failures.FailureGroup, match="Undocumented status code"):
        case.call_and_validate(base_url=server.url)
