package billing

// Ask has [Engine.Settle] ask the payment provider for the account's state again, as after a
// webhook; with needCustomer it also makes the account's customer where there is none.
func (e *Engine) Ask(tx Tx, needCustomer bool) error {
	rec := tx.Record()
	rec.Refetch = true
	rec.Asked++
	rec.NeedCustomer = rec.GetNeedCustomer() || needCustomer
	tx.Work()
	return nil
}
