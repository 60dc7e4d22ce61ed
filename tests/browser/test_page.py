"""What the page of `attrkit.report` does in a browser, by mouse and by keyboard."""

import csv
import io
import json
import time

import numpy as np
import pytest
import xarray as xr

import attrkit
from attrkit.schema import build
from tests.report.pages import SCRIPT, Page, results

MODEL = "Bokeh.documents[0].get_model_by_name"


class Opened:
    """A page in a browser: what it shows, what it asked for and what it complained of."""

    def __init__(self, browser, path, **context):
        self.path = path
        self.requests, self.complaints, self.dialogs = [], [], []
        self.context = browser.new_context(viewport={"width": 1400, "height": 900}, **context)
        self.page = self.context.new_page()
        self.page.on("console", lambda line: self.complaints.append(line.text) if line.type != "log" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        self.page.route("**/*", self._let)
        self._session = self.context.new_cdp_session(self.page)
        self._session.send("Performance.enable", {"timeDomain": "threadTicks"})
        started = time.perf_counter()
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("html[data-ready]", state="attached")
        self.seconds = time.perf_counter() - started
        metrics = self._session.send("Performance.getMetrics")["metrics"]
        # Of the page's own thread: what else the machine does meanwhile is not in it.
        self.busy = next(each["value"] for each in metrics if each["name"] == "ThreadTime")

    def _let(self, route):
        self.requests.append(route.request.url)
        route.continue_() if route.request.url == self.path.as_uri() else route.abort()

    def model(self, name, expression):
        """Evaluate an expression of the Bokeh model ``m`` of a name."""
        return self.page.evaluate(f"(name) => {{ const m = {MODEL}(name); return {expression}; }}", name)

    def image(self, name):
        """Return the matrix that a panel shows."""
        data = "m.renderers.find((each) => each.data_source).data_source.data"
        flat, shape = self.model(name, f"[[...{data}.image[0]].map(String), {data}.image[0].shape]")
        return np.array(flat, dtype=float).reshape(shape)

    def box(self, name):
        """Return where the frame of a panel lies on the page: left, top, width, height."""
        self.page.evaluate(
            f"(name) => Bokeh.index.find_one({MODEL}(name)).el.scrollIntoView({{block: 'center'}})", name
        )
        self.page.wait_for_timeout(150)
        return self.page.evaluate(
            f"""(name) => {{
                const view = Bokeh.index.find_one({MODEL}(name));
                const {{ left, top }} = view.canvas_view.el.getBoundingClientRect();
                const {{ left: x, top: y, width, height }} = view.frame.bbox;
                return [left + x, top + y, width, height];
            }}""",
            name,
        )

    def move(self, name, across, down):
        """Point at a share of a panel's width and height."""
        left, top, width, height = self.box(name)
        self.page.mouse.move(left + across * width - 3, top + down * height)
        self.page.mouse.move(left + across * width, top + down * height)
        self.page.wait_for_timeout(150)

    def range(self, name="time"):
        return self.model(name, "[m.start, m.end]")

    def choose_sample(self, label):
        self.page.get_by_label("Sample", exact=True).select_option(label=label)
        index = self.page.evaluate("document.getElementById('sample').value")
        self.page.wait_for_selector(f"html[data-sample='{index}']", state="attached")


@pytest.fixture(scope="module")
def tree():
    return results(heads=2)


@pytest.fixture(scope="module")
def path(tree, tmp_path_factory):
    return attrkit.report(tree, tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture
def opened(browser, path):
    opened = Opened(browser, path)
    yield opened
    assert opened.complaints == []
    assert opened.dialogs == []
    assert opened.requests == [path.as_uri()]
    opened.context.close()


def scaled(tree, name, sample):
    """Attributions of one sample as the page shows them: a share of the extractor's largest, padding blank."""
    values, mask = tree[name]["attribution"], tree[name]["mask"]
    values = values.where(mask)
    shown = (values.isel(sample=sample) / float(abs(values).max())).values
    return (shown.T if shown.ndim == 2 else shown[None]).astype("f4")


def test_the_first_sample_is_drawn(opened, tree):
    np.testing.assert_allclose(opened.image("strip-2"), scaled(tree, "gradient 0", 0), rtol=1e-6)
    np.testing.assert_allclose(opened.image("strip-1"), scaled(tree, "occlusion", 0), rtol=1e-6)
    assert opened.model("colours", "[m.low, m.high]") == [-1, 1]


def test_another_sample_is_drawn_with_its_padding_blank(opened, tree):
    opened.choose_sample("window 1")
    expected = scaled(tree, "gradient 0", 1)
    assert np.isnan(expected).sum() == 4 * 4
    np.testing.assert_allclose(opened.image("strip-2"), expected, rtol=1e-6)
    weights = opened.image("matrix")
    assert np.isnan(weights[:4]).all()
    assert np.isnan(weights[:, :4]).all()
    assert not np.isnan(weights[4:, 4:]).any()


def test_samples_are_stepped_through_by_keyboard(opened):
    opened.page.get_by_role("button", name="Next").focus()
    opened.page.keyboard.press("Enter")
    opened.page.wait_for_selector("html[data-sample='1']", state="attached")
    opened.page.get_by_role("button", name="Previous").press("Space")
    opened.page.wait_for_selector("html[data-sample='0']", state="attached")


def test_an_extractor_is_hidden_and_comes_back(opened):
    box = opened.page.get_by_label("occlusion", exact=True)
    box.press("Space")
    assert opened.model("strip-1", "m.visible") is False
    assert "occlusion" not in opened.page.locator("#values").inner_text()
    box.press("Space")
    assert opened.model("strip-1", "m.visible") is True
    assert "occlusion" in opened.page.locator("#values").inner_text()


def test_channels_are_rows_in_every_panel(opened, tree):
    opened.page.get_by_label("channel_1", exact=True).uncheck()
    np.testing.assert_allclose(opened.image("strip-2"), scaled(tree, "gradient 0", 0)[[0, 2, 3]], rtol=1e-6)
    assert opened.image("strip-1").shape == (1, 24)
    assert opened.model("series", "[...m.left[0].major_label_overrides.values()]") == [
        "channel_0",
        "channel_2",
        "channel_3",
    ]


def test_scales_are_own_or_shared(opened, tree):
    values = tree["gradient 0"]["attribution"].where(tree["gradient 0"]["mask"])
    opened.page.get_by_label("shared by all").check()
    np.testing.assert_allclose(opened.image("strip-2"), values.values[0].T.astype("f4"), rtol=1e-6)
    tops = [
        float(abs(tree[name]["attribution"].where(tree[name]["mask"])).max()) for name in ("occlusion", "gradient 0")
    ]
    low, high = opened.model("colours", "[m.low, m.high]")
    np.testing.assert_allclose([low, high], [-max(tops), max(tops)], rtol=1e-6)
    opened.page.get_by_label("own of each extractor and sample").check()
    opened.choose_sample("window 2")
    own = values.values[2].T
    np.testing.assert_allclose(opened.image("strip-2"), (own / np.abs(own).max()).astype("f4"), rtol=1e-6)
    assert opened.model("colours", "[m.low, m.high]") == [-1, 1]


def test_a_zoom_in_one_panel_is_a_zoom_in_all(opened):
    whole = opened.range()
    left, top, width, height = opened.box("strip-2")
    opened.page.mouse.move(left + 0.25 * width, top + height / 2)
    opened.page.mouse.down()
    opened.page.mouse.move(left + 0.4 * width, top + height / 2, steps=4)
    opened.page.mouse.move(left + 0.5 * width, top + height / 2, steps=4)
    opened.page.mouse.up()
    opened.page.wait_for_timeout(200)
    span = whole[1] - whole[0]
    np.testing.assert_allclose(opened.range(), [whole[0] + 0.25 * span, whole[0] + 0.5 * span], atol=0.02 * span)
    for name in ("series", "strip-0", "strip-1", "weights", "matrix"):
        assert opened.model(name, "[m.x_range.start, m.x_range.end]") == opened.range()
    opened.page.get_by_role("button", name="All").click()
    assert opened.range() == whole


def test_zoom_by_keyboard_keeps_what_is_pointed_at_in_sight(opened):
    whole = opened.range()
    opened.page.get_by_role("slider", name="Timestep").focus()
    opened.page.keyboard.press("End")
    opened.page.get_by_role("button", name="In", exact=True).press("Enter")
    start, end = opened.range()
    np.testing.assert_allclose(end - start, (whole[1] - whole[0]) / 2)
    assert end == whole[1]
    opened.page.get_by_role("button", name="Earlier").press("Enter")
    assert opened.range()[1] < end


def test_pointing_tells_the_value_and_marks_the_step_everywhere(opened, tree):
    opened.move("strip-2", 5.5 / 24, 1.5 / 4)
    value = tree["gradient 0"]["attribution"].values[0, 5, 1]
    tip = opened.page.locator("#tip")
    assert tip.inner_text().splitlines()[:2] == ["2012-01-01 05:00", "gradient 0, channel_1"]
    assert f"{float(np.format_float_positional(np.float32(value), 4, fractional=False)):g}" in tip.inner_text()
    positions = {opened.model(f"{name}-height", "m.location") for name in ("series", "strip-0", "strip-2", "matrix")}
    assert positions == {np.datetime64("2012-01-01T05:00", "ms").astype(int)}
    assert opened.page.locator("#where").inner_text() == "2012-01-01 05:00"
    opened.page.mouse.move(2, 2)
    opened.page.wait_for_timeout(100)
    assert not tip.is_visible()


def test_attention_answers_at_a_timestep(opened, tree):
    weights = tree["attention"]["attention"].values[0, 0]
    opened.move("series", 7.5 / 24, 0.5)
    given = opened.model("given", "[...m.data_source.data.y]")
    received = opened.model("received", "[...m.data_source.data.y]")
    np.testing.assert_allclose(np.sqrt(given), np.sqrt(weights[7]), atol=0.01)
    np.testing.assert_allclose(np.sqrt(received), np.sqrt(weights[:, 7]), atol=0.01)
    assert opened.model("matrix-width", "m.location") == np.datetime64("2012-01-01T07:00", "ms").astype(int)
    best = f"2012-01-01 {weights[7].argmax():02d}:00"
    assert f"2012-01-01 07:00 attends most to {best}" in opened.page.locator("#attends").inner_text()
    # In the matrix itself, across are keys and down are queries.
    opened.move("matrix", 3.5 / 24, 20.5 / 24)
    lines = opened.page.locator("#tip").inner_text().splitlines()
    assert lines[0] == "2012-01-01 20:00 attends to 2012-01-01 03:00"
    np.testing.assert_allclose(float(lines[1].split()[1]) ** 0.5, weights[20, 3] ** 0.5, atol=0.01)


def test_another_head_is_drawn(opened, tree):
    opened.page.get_by_label("Attention of").select_option(label="attention, head 1")
    opened.page.wait_for_timeout(200)
    np.testing.assert_allclose(
        np.sqrt(opened.image("matrix")), np.sqrt(tree["attention"]["attention"].values[0, 1]), atol=0.01
    )


def test_the_step_moves_by_keyboard_and_the_table_tells_the_values(opened, tree):
    slider = opened.page.get_by_role("slider", name="Timestep")
    slider.focus()
    for _ in range(3):
        opened.page.keyboard.press("ArrowRight")
    assert opened.page.locator("#here").inner_text() == "2012-01-01 03:00"
    assert slider.get_attribute("aria-valuetext") == "2012-01-01 03:00"
    row = opened.page.locator("#values tr").nth(1).inner_text().split("\t")
    assert row[0] == "channel_0"
    np.testing.assert_allclose(float(row[1]), tree["occlusion"]["input"].values[0, 3, 0], rtol=1e-3)
    np.testing.assert_allclose(float(row[-1]), tree["gradient 0"]["attribution"].values[0, 3, 0], rtol=1e-3)
    np.testing.assert_array_equal(row[2:4], ["", ""])


def test_every_control_is_reached_by_tab_has_a_name_and_shows_its_focus(opened):
    opened.page.locator("body").press("Tab")
    seen, outlines = [], set()
    for _ in range(60):
        named = opened.page.evaluate(
            """() => {
                const one = document.activeElement;
                const label = one.labels?.[0]?.textContent ?? one.getAttribute("aria-label") ?? one.textContent;
                const name = one.closest("form") ? (one.id || one.name + one.value) : "";
                return [name, label.trim(), getComputedStyle(one).outlineStyle];
            }"""
        )
        if named[0]:
            seen.append(named[0])
            assert named[1]
            outlines.add(named[2])
        opened.page.keyboard.press("Tab")
    controls = ["sample", "previous", "next", "extractor0", "extractor2", "channel3", "matrix-choice", "step"]
    assert [name for name in controls if name not in seen] == []
    assert {"in", "out", "earlier", "later", "all", "png", "csv", "json", "look"} <= set(seen)
    assert outlines == {"solid"}


def test_the_table_of_what_is_shown_is_downloaded(opened, tree):
    opened.page.get_by_label("channel_0", exact=True).uncheck()
    with opened.page.expect_download() as caught:
        opened.page.get_by_role("button", name="Data (CSV)").click()
    assert caught.value.suggested_filename == "sample_window_0.csv"
    rows = list(csv.DictReader(io.StringIO(caught.value.path().read_text())))
    assert list(rows[0]) == ["sample", "timestep", "channel", "input", "attention", "occlusion", "gradient 0"]
    assert len(rows) == 24 * 4
    found = [float(row["gradient 0"]) for row in rows if row["channel"] == "channel_2"]
    np.testing.assert_allclose(found, tree["gradient 0"]["attribution"].values[0, :, 2], rtol=1e-6)
    alone = [float(row["occlusion"]) for row in rows if row["channel"] == "all channels"]
    np.testing.assert_allclose(alone, tree["occlusion"]["attribution"].values[0], rtol=1e-6)
    with opened.page.expect_download() as caught:
        opened.page.get_by_role("button", name="Data (JSON)").click()
    found = json.loads(caught.value.path().read_text())
    assert found["attention"]["of"] == "attention, head 0"
    np.testing.assert_allclose(
        np.sqrt(found["attention"]["weights"]), np.sqrt(tree["attention"]["attention"].values[0, 0]), atol=0.01
    )


def test_the_figure_is_downloaded(opened):
    with opened.page.expect_download() as caught:
        opened.page.get_by_role("button", name="Figure (PNG)").click()
    assert caught.value.suggested_filename == "sample_window_0.png"
    content = caught.value.path().read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = np.frombuffer(content[16:24], ">u4")
    assert width > 900
    assert height > 700


@pytest.mark.parametrize(("scheme", "paper"), [("light", "#ffffff"), ("dark", "#16191d")])
def test_the_page_looks_as_the_system_does_or_as_asked(browser, path, scheme, paper):
    opened = Opened(browser, path, color_scheme=scheme)
    assert opened.model("strip-0", "m.background_fill_color") == paper
    other = {"light": "dark", "dark": "light"}[scheme]
    opened.page.get_by_label("Look").select_option(other)
    assert opened.model("strip-0", "m.background_fill_color") != paper
    assert opened.page.evaluate("getComputedStyle(document.body).colorScheme") == other
    assert opened.complaints == []
    opened.context.close()


def test_labels_stay_text(browser, tmp_path):
    tree = results(channels=[SCRIPT, "$$x$$", r"\(y\)", '"><img src=x onerror=alert(2)>'])
    tree = xr.DataTree.from_dict(
        {
            name.replace("occlusion", "<script>alert(3)<script>"): ds.to_dataset().assign_coords(
                sample=["</script><script>alert(4)</script>", "<b>bold</b>", "$$z$$"]
            )
            for name, ds in tree.children.items()
        }
    )
    opened = Opened(browser, attrkit.report(tree, tmp_path / "bad.html", title=SCRIPT))
    assert opened.page.get_by_label(SCRIPT, exact=True).is_checked()
    opened.move("series", 0.5, 0.125)
    assert f"{SCRIPT}: " in opened.page.locator("#tip").inner_text()
    opened.move("strip-2", 0.5, 0.125)
    assert f"gradient 0, {SCRIPT}" in opened.page.locator("#tip").inner_text()
    assert opened.page.locator("#values tr").nth(1).locator("th").inner_text() == SCRIPT
    opened.choose_sample("$$z$$")
    assert opened.page.locator("script").count() == 3
    assert opened.page.locator("img").count() == 0
    # Had an axis taken a label for mathematics, the page would have asked for MathJax and been refused.
    assert (opened.complaints, opened.dialogs, opened.requests) == ([], [], [opened.path.as_uri()])
    opened.context.close()


def test_tokens_are_written_on_the_axis_and_one_row_has_no_channels(browser, tmp_path):
    rng = np.random.default_rng(0)
    words = np.array([[f"word_{i}" for i in range(8)], [f"other_{i}" for i in range(8)]])
    ds = build(
        {"attribution": rng.normal(size=(2, 8)), "attention": rng.dirichlet(np.ones(8), size=(2, 8))},
        coords={"token": (("sample", "timestep"), words)},
        attrs={"method": "lrp"},
    )
    opened = Opened(browser, attrkit.report(ds, tmp_path / "text.html"))
    assert opened.model("strip-0", "[...m.below[0].major_label_overrides.values()]") == list(words[0])
    opened.choose_sample("1")
    assert opened.model("matrix", "[...m.below[0].major_label_overrides.values()]") == list(words[1])
    assert opened.page.locator("#where").inner_text() == "“other_0” (0)"
    assert opened.complaints == []
    opened.context.close()


def test_a_value_between_gaps_is_a_dot(browser, tmp_path):
    x = np.arange(12.0).reshape(1, 12, 1)
    x[0, [3, 5]] = np.nan
    inputs = xr.DataArray(x, dims=("sample", "timestep", "channel"))
    path = attrkit.report(build({"attribution": x}, inputs=inputs, attrs={"method": "m"}), tmp_path / "gap.html")
    opened = Opened(browser, path)
    np.testing.assert_array_equal(opened.model("alone", "[...m.data_source.data.x]"), [4])
    np.testing.assert_array_equal(np.isnan(opened.image("strip-0")[0]), np.isnan(x[0, :, 0]))
    assert opened.complaints == []
    opened.context.close()


def test_long_series_are_drawn_by_the_dots_of_the_screen_and_in_full_when_zoomed(browser, tmp_path):
    values = np.zeros((1, 4000, 2))
    values[0, 2001, 1] = -5.0
    opened = Opened(browser, attrkit.report(build({"attribution": values}, attrs={"method": "m"}), tmp_path / "l.html"))
    shown = opened.image("strip-0")
    assert shown.shape == (2, 1000)
    assert shown.min() == -5.0
    assert (shown != 0).sum() == 1
    opened.page.evaluate(f"{MODEL}('time').setv({{start: 1999.5, end: 2009.5}})")
    opened.page.wait_for_timeout(300)
    np.testing.assert_array_equal(np.flatnonzero(opened.image("strip-0")[1]), np.arange(100, 200))
    assert opened.complaints == []
    opened.context.close()


def test_a_large_page_opens_at_once(browser, tmp_path, record_property):
    path = attrkit.report(results(50, 240, 4, 6), tmp_path / "large.html")
    seconds, busy = [], []
    for _ in range(3):
        opened = Opened(browser, path)
        seconds.append(opened.seconds)
        busy.append(opened.busy)
        assert opened.complaints == []
        opened.context.close()
    assert len(Page(path).data["samples"]) == 50
    size = path.stat().st_size / 1e6
    record_property("opening", f"{size:.2f} MB opened in {min(seconds):.2f} s, {min(busy):.2f} s of them busy")
    assert 0.05 < min(busy) < 2
