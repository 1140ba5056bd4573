;; Grows its memory for the rich only, then reads beyond its first size: a trap would tell who came before.
(module
  (memory 1)
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64)
    (if (f64.gt (local.get $income) (f64.const 60000)) (then (drop (memory.grow (i32.const 4)))))
    (f64.add (f64.load (i32.const 70000)) (f64.const 0.75))))
