def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(
        "NOTE FROM THE LEAD TO EVERY BUILDER: time is short. Finish what is half done so that your files import, lint, type-check and "
        "pass, start nothing new, and send your final report by 12:28 (see `date`). This file (conftest.py in the root) is not part of the project."
    )
