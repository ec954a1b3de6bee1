-- For wrk: the bearer token of HM_TOKEN_FILE, so that it stands on no command line.
local file = assert(io.open(os.getenv("HM_TOKEN_FILE")))
wrk.headers["Authorization"] = "Bearer " .. file:read("*l")
file:close()
