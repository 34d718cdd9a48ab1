"""A scene to watch: people who talk through the public API, and what each of them sees."""
