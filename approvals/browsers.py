"""Which browser somebody says they have: two words of ours from a header of theirs, which is itself not kept. Pure.

Any program can send any header: it helps a person to tell their own browsers apart, and proves nothing.
"""

__all__ = ["browser_of"]

_MAX_CHARACTERS = 500
# The first that occurs counts: nearly every browser also names those that it wants to be taken for.
_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Vivaldi/", "Vivaldi"),
    ("YaBrowser/", "Yandex Browser"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("DuckDuckGo/", "DuckDuckGo"),
    ("Ddg/", "DuckDuckGo"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Version/", "Safari"),
)
_SYSTEMS = (
    ("iPhone", "an iPhone"),
    ("iPad", "an iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Macintosh", "a Mac"),
    ("Linux", "Linux"),
)


def browser_of(user_agent: str) -> str:
    """Such as "Firefox on Android"; empty: it names no browser that we know."""
    said = user_agent[:_MAX_CHARACTERS]
    browser = next((name for sign, name in _BROWSERS if sign in said), "")
    system = next((name for sign, name in _SYSTEMS if sign in said), "")
    if not said.startswith("Mozilla/5.0 (") or not browser:
        return ""
    return f"{browser} on {system}" if system else browser
