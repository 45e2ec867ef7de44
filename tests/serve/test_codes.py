"""IRMA codes in words, for the page."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.testclient import TestClient

from radretrieval.serve.routes import codes


def test_codes_in_words() -> None:
    app = FastAPI()
    app.include_router(codes.router)
    known, foreign = "1123-127-500-000", "hand left"
    answer = TestClient(app).get("/api/codes", params={"code": [known, foreign]})
    assert answer.status_code == 200
    assert answer.json() == {
        known: {
            "axes": [
                "x-ray / plain radiography / analog / high beam energy",
                "anteroposterior (AP, coronal) / supine",
                "chest",
                "unspecified",
            ],
            "short": ["chest", "AP / supine"],
        }
    }
