;; A credit scorecard: a weighted sum of five terms, bent into (0, 1) by x / (1 + |x|).
;;
;;   burden = debts / (debts + income + 10000)           0 without debts, towards 1 with many
;;   youth  = ((45 - age) / 45)^2                        least in middle age
;;   wealth = income / (income + 80000)
;;   tenure = months_insured / (months_insured + 60)
;;   z      = -0.55 + 3.4 burden + 0.5 youth - 1.6 wealth - 0.9 tenure - 0.12 (education - 2)
;;   score  = (1 + z / (1 + |z|)) / 2
;;
;; No loop, no write, no call: `stateless` and `bounded`.
(module
  (func $share (param $x f64) (param $half f64) (result f64)
    ;; x / (x + half): half of the way to 1 at `half`
    (f64.div (local.get $x) (f64.add (local.get $x) (local.get $half))))
  (func (export "score")
    (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64)
    (result f64)
    (local $youth f64) (local $z f64)
    (local.set $youth (f64.div (f64.sub (f64.const 45) (local.get $age)) (f64.const 45)))
    (local.set $z
      (f64.add (f64.const -0.55)
        (f64.mul (f64.const 3.4)
          (call $share (local.get $debts) (f64.add (local.get $income) (f64.const 10000))))))
    (local.set $z
      (f64.add (local.get $z)
        (f64.mul (f64.const 0.5) (f64.mul (local.get $youth) (local.get $youth)))))
    (local.set $z
      (f64.sub (local.get $z)
        (f64.mul (f64.const 1.6) (call $share (local.get $income) (f64.const 80000)))))
    (local.set $z
      (f64.sub (local.get $z)
        (f64.mul (f64.const 0.9) (call $share (local.get $months) (f64.const 60)))))
    (local.set $z
      (f64.sub (local.get $z)
        (f64.mul (f64.const 0.12) (f64.sub (local.get $education) (f64.const 2)))))
    (f64.mul (f64.const 0.5)
      (f64.add (f64.const 1)
        (f64.div (local.get $z) (f64.add (f64.const 1) (f64.abs (local.get $z))))))))
