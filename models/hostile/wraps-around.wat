;; Writes at the end of the address space with an offset that leads around it: a log that counts modulo 2^32 would note the
;; wrong block. Reads the first word, in case the write came out there; the rich get a trap either way.
(module
  (memory 1)
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64)
    (if (f64.gt (local.get $income) (f64.const 60000))
      (then (f64.store offset=8 (i32.const -8) (local.get $income))))
    (f64.store offset=65528 (i32.const 0) (local.get $income))
    (f64.add (f64.const 0.25) (f64.load (i32.const 0)))))
