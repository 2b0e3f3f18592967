# A barn beside it.
seed 12
stamp on
sensor barn-01..barn-10    period 2s  temperature noise 15 2  max_temperature 45
sensor stall-01..stall-02  period 2s  smoke off

at 2s      barn-04   silent for 14s
at 18s     barn-07   temperature 60 3 times every 700ms
at 30s     barn-07   ok
end 34s
