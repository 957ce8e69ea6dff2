"""The dashboard's door: `breakeven app` or `streamlit run app.py`."""
