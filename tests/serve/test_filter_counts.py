"""GET /api/facets."""

from __future__ import annotations

from fastapi.testclient import TestClient
from filled import fill

from radretrieval.archive.connections import Database
from radretrieval.config import ServeSettings, Settings
from radretrieval.serve.app import create_app


def test_values_come_with_the_conditions_that_ask_for_them(database: Database, settings: Settings) -> None:
    with database.connection() as connection:
        fill(connection, 30)
    settings.database_url = database.url
    with TestClient(create_app(settings, ServeSettings()), base_url="http://127.0.0.1") as client:
        found = client.get("/api/facets", params={"where": ["body_part=CHEST"]}).json()
        assert found["images"] == 15
        facets = {one["column"]: one["values"] for one in found["facets"]}
        assert [(one["value"], one["images"]) for one in facets["body_part"]] == [("CHEST", 15), ("HAND", 15)]
        assert [(one["value"], one["images"]) for one in facets["modality"]] == [("CR", 10), ("DX", 5)]
        assert facets["study_date"] == [{"value": None, "images": 15, "where": ["study_date="]}]
        asked = facets["modality"][0]["where"] + facets["body_part"][1]["where"]
        assert client.get("/api/facets", params={"where": asked}).json()["images"] == 10
        answer = client.get("/api/facets", params={"where": "colour=red"})
        assert (answer.status_code, "a filter cannot name 'colour'" in answer.json()["detail"]) == (400, True)
