"""stub"""


def write_report(study, rows, output, baseline):
    return ""
