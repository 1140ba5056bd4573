;; Drops a data segment for the rich: using it for the next person would trap.
(module
  (memory 1)
  (data $d "x")
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64)
    (memory.init $d (i32.const 0) (i32.const 0) (i32.const 1))
    (if (f64.gt (local.get $income) (f64.const 60000)) (then (data.drop $d)))
    (f64.const 0.75)))
