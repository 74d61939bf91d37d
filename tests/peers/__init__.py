"""Third-party peers that the tests talk to: a browser, and the npm packages of package.json."""
