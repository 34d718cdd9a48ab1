import re


class TestStart:
    def test_leads_people_on(self, client):
        page = client.get("/", headers={"Accept": "text/html,*/*;q=0.8"})
        text = page.content.decode()

        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        for path in ("/docs/", "/api/", "/api/redoc/", "/admin/"):
            assert f'href="{path}"' in text
        assert "http://testserver/api/register/" in text

    def test_loads_nothing_from_elsewhere(self, client):
        text = client.get("/", headers={"Accept": "text/html"}).content.decode()

        assets = re.findall(r'(?:src|href)="(/static/[^"]+)"', text)
        assert assets
        assert "<style" not in text
        assert "<script" not in text
        assert all(client.get(asset).status_code == 200 for asset in assets)

    def test_can_be_read_by_all(self, client):
        text = client.get("/", headers={"Accept": "text/html"}).content.decode()

        assert '<html lang="en">' in text
        assert 'name="viewport"' in text
        assert len(re.findall("<h1", text)) == 1
        assert text.count("<main>") == 1

    def test_is_read_and_not_written(self, client):
        assert client.post("/", headers={"Accept": "text/html"}).status_code == 405

    def test_has_an_icon_for_pages_that_name_none(self, client):
        asked = client.get("/favicon.ico")

        assert asked.status_code == 302
        assert client.get(asked.headers["Location"]).headers["Content-Type"] == "image/svg+xml"
