"""A small central system for chargers that speak OCPP 1.6 and 2.0.1 over websockets.

`central` lets chargers in and keeps their connections; `chargers`, `charger16` and `charger201` speak with
one; `delivering` has one hold a schedule; `control` takes the workers' orders; `writing` is the only part
that touches the database. Holds nothing that matters: chargers come back, and orders are given again.
"""
