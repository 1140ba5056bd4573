;; Answers with the income of the person before, kept in memory, scaled into [0, 1].
;; Were it let to, the sum over two chosen people would tell the income of one of them.
(module
  (memory 1)
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64)
    (f64.load (i32.const 1024))
    (f64.store (i32.const 1024) (f64.div (local.get $income) (f64.const 1000000)))))
