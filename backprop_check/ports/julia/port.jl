# The port: how backprop-check talks to the network in network.jl.
#
# A port is a loop: read a line from stdin, it is one request in JSON; answer with one line of JSON on stdout.
# There is no mathematics here. Keep this file, and put your own network behind `backprop`.

include("json.jl")
include("backprop.jl")

"Answers until stdin ends."
function main()
    for line in eachline(stdin)
        isempty(strip(line)) && continue
        write(stdout, to_json(answer(line)) * "\n")
        flush(stdout) # without it the answer could wait in a buffer, and the harness for the answer
    end
end

"Gives the reply to one request."
function answer(line)
    request = Dict{String,Any}()
    try
        request = read_json(line)::Dict{String,Any}
        request["type"] == "hello" && return hello(request)
        request["type"] == "case" && return backprop(request)
        return Dict("id" => get(request, "id", nothing), "skip" => "the request $(request["type"]) is not there yet")
    catch error
        # One case that fails must not end the others: say what happened, and go on.
        message, traceback = sprint(showerror, error), sprint(showerror, error, catch_backtrace())
        return Dict("id" => get(request, "id", nothing), "error" => message, "traceback" => traceback)
    end
end

"Says who we are and what we can do. What is not listed under `supports` is never asked for."
function hello(request)
    reply = Dict{String,Any}(
        "protocol" => 1,
        "name" => "vanilla-julia",
        "language" => "Julia $VERSION",
        "version" => "0.1.0",
        "dtype" => "float64",
        "max_in_flight" => 16,
        "supports" => Dict{String,Any}(
            "layers" => ["dense"],
            "activations" => sort(collect(keys(ACTIVATIONS))),
            "losses" => sort(collect(keys(LOSSES))),
            "optimizers" => ["sgd"],
            "batch" => true,
        ),
    )
    if haskey(request, "echo")
        reply["echo"] = request["echo"] # shows that no digit is lost on the way in and out
    end
    return reply
end

main()
