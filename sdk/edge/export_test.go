package edge

// SetFault sets what is asked before every write of the store, and fails it.
func (c *Config) SetFault(fault func() error) { c.fault = fault }
