"""IRMA codes in words, for the page."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.testclient import TestClient

from radretrieval.config import ServeSettings
from radretrieval.serve.access.access import Access
from radretrieval.serve.access.gate import Gate
from radretrieval.serve.routes import codes


def test_codes_in_words() -> None:
    app = FastAPI()
    app.include_router(codes.router)
    app.add_middleware(Gate, access=Access(ServeSettings()))
    known, foreign = "1123-127-500-000", "hand left"
    answer = TestClient(app, "http://127.0.0.1").get("/api/codes", params={"code": [known, foreign]})
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
