"""Plotly figures from plan data: pure functions that the report and the dashboard share."""
