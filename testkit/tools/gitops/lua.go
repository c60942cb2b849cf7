package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	lua "github.com/yuin/gopher-lua"
	luajson "layeh.com/gopher-json"
)

// Health is what a health script returns.
type health struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

// The statuses that Argo CD takes from a script.
var healthStatuses = map[string]bool{
	"Unknown": true, "Progressing": true, "Suspended": true, "Healthy": true, "Degraded": true, "Missing": true,
}

// RunLua runs a script as Argo CD runs one that stands in argocd-cm: no standard library but the base and tables,
// and an os that has time and date alone and has to be required. What runs so also runs where more is there. The
// time now is the given one.
func runLua(object map[string]any, script string, now time.Time) ([]byte, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable,
	} {
		state.Push(state.NewFunction(open))
		state.Push(lua.LString(name))
		state.Call(1, 0)
	}
	state.PreloadModule(lua.OsLibName, func(state *lua.LState) int { return safeOs(state, now) })
	deadline, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	state.SetContext(deadline)
	state.SetGlobal("obj", luajson.DecodeValue(state, object))
	if err := state.DoString(script); err != nil {
		return nil, err
	}
	returned := state.Get(-1)
	if returned.Type() != lua.LTTable {
		return nil, fmt.Errorf("it returns a %s, and no table", returned.Type())
	}
	return luajson.Encode(returned)
}

func safeOs(state *lua.LState, now time.Time) int {
	whole := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer whole.Close()
	whole.Push(whole.NewFunction(lua.OpenOs))
	whole.Push(lua.LString(lua.OsLibName))
	whole.Call(1, 0)
	table, safe := whole.GetGlobal(lua.OsLibName).(*lua.LTable), state.NewTable()
	for _, name := range []string{"time", "date"} {
		function := table.RawGetString(name).(*lua.LFunction)
		safe.RawSetString(name, state.NewFunction(function.GFunction))
	}
	ofATable := table.RawGetString("time").(*lua.LFunction).GFunction
	safe.RawSetString("time", state.NewFunction(func(state *lua.LState) int {
		if state.GetTop() > 0 {
			return ofATable(state)
		}
		state.Push(lua.LNumber(now.Unix()))
		return 1
	}))
	state.Push(safe)
	return 1
}

func healthOf(object map[string]any, script string, now time.Time) (*health, error) {
	returned, err := runLua(object, script, now)
	if err != nil {
		return nil, err
	}
	var said health
	if err := json.Unmarshal(returned, &said); err != nil {
		return nil, err
	}
	if !healthStatuses[said.Status] {
		return nil, fmt.Errorf("Argo CD knows no health status %q", said.Status)
	}
	return &said, nil
}
