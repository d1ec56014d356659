"""Writes the examples into gateway/ronda_gateway/schemas/*.json: real messages of half an hour.

    python tests/make_examples.py        (make examples)

tests/e2e/test_examples.py fails when a committed example is not what the same half hour says.
"""

import example_day


def main() -> None:
    """Run the half hour and write the files."""
    for path, text in example_day.texts(example_day.examples(example_day.messages())).items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
