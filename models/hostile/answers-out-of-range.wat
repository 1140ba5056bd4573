;; Answers with the income itself, far outside the declared range.
(module
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64)
    (local.get $income)))
