# What a server writes to its log when it has a defect, as an extended regular expression: a failed assertion, a crash
# that no test made, something that was not given back. Sourced by assert.sh; part of a guardian.
DEFECTS='^TRAP: |was terminated by signal (4|6|7|8|11):|(buffer refcount|relcache reference|cache reference|TupleDesc reference|[Ss]napshot reference|plancache reference|[Ff]ile|resource owner) leak'
