"""The workbook for finance, plan.xlsx: live formulas from the inputs to NPV and break-even.

`build` lays out the sheets and writes the answer; `inputs` the cells that may be changed; `schedule` every cost line of
every option over the months; `break_even` both sides over volume; `cells` the typed cells that all of them write.
"""

from planner.workbook.build import WORKBOOK_FILE, workbook_xlsx

__all__ = ["WORKBOOK_FILE", "workbook_xlsx"]
