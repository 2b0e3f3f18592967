# A house, in fast motion. What must come of it stands in tests/demo/demo.
seed 11
stamp on
sensor hall-01..hall-24    period 2s  temperature sine 21 3 30s  max_temperature 40  motion off
sensor smoke-01..smoke-08  period 2s  smoke off

at 4s      hall-03   motion
at 9s      hall-03   ok
at 5s      smoke-05  smoke
at 6s      smoke-02  smoke 3 times every 1s
at 14s     smoke-02  ok
at 7s      hall-10   temperature 52 3 times every 1s
at 15s     hall-10   ok
at 10s     smoke-07  smoke 2 times every 1s
at 13s     smoke-07  ok
at 18500ms hall-20   motion
at 22s     smoke-01  smoke 2 times every 1s
at 28s     smoke-01  smoke
end 34s
