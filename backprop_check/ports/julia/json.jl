# JSON, which Julia's standard library does not have: as much of it as a port needs.
#
# An array becomes a Vector{Any}, an object a Dict{String,Any}, null becomes nothing; 1 is an Int and 1.0 a Float64.

"A text, and where in it we are: each reader goes on from there, and leaves it behind what it has read."
mutable struct JsonReader
    text::String
    at::Int # counted in bytes
end

json_fail(reader, what) = error("JSON, byte $(reader.at): $what")

"Gives the next byte as a character, '\\0' at the end. All marks of JSON are one byte long."
peek_json(reader) = reader.at <= ncodeunits(reader.text) ? Char(codeunit(reader.text, reader.at)) : '\0'

"Gives what comes after any white space."
function next_mark(reader)
    while peek_json(reader) in (' ', '\t', '\r', '\n')
        reader.at += 1
    end
    return peek_json(reader)
end

"Goes past the character if it stands next."
function take_json!(reader, wanted)
    next_mark(reader) == wanted || return false
    reader.at += 1
    return true
end

"Gives the value that a JSON text stands for. Raises an ErrorException with the byte where it is not JSON."
function read_json(text::AbstractString)
    reader = JsonReader(text, 1)
    value = read_value!(reader)
    next_mark(reader) == '\0' || json_fail(reader, "nothing more expected")
    return value
end

function read_value!(reader)
    mark = next_mark(reader)
    mark == '{' && return read_object!(reader)
    mark == '[' && return read_array!(reader)
    mark == '"' && return read_string!(reader)
    for (word, value) in (("true", true), ("false", false), ("null", nothing))
        if mark == word[1] && startswith(SubString(reader.text, reader.at), word)
            reader.at += length(word)
            return value
        end
    end
    return read_digits!(reader)
end

function read_digits!(reader)
    first = reader.at
    while peek_json(reader) in "0123456789.eE+-"
        reader.at += 1
    end
    digits = SubString(reader.text, first, reader.at - 1)
    number = tryparse(Int, digits)
    digits == "-0" && (number = -0.0) # an Int has no -0
    number === nothing && (number = tryparse(Float64, digits))
    number === nothing && json_fail(reader, "a value expected")
    return number
end

const ESCAPES =
    Dict('b' => '\b', 'f' => '\f', 'n' => '\n', 'r' => '\r', 't' => '\t', '"' => '"', '\\' => '\\', '/' => '/')

function read_hex!(reader)
    last = reader.at + 3
    last <= ncodeunits(reader.text) || json_fail(reader, "four hexadecimal digits expected")
    code = tryparse(UInt32, SubString(reader.text, reader.at, last); base = 16)
    code === nothing && json_fail(reader, "four hexadecimal digits expected")
    reader.at += 4
    return code
end

function read_string!(reader)
    take_json!(reader, '"') || json_fail(reader, "a string expected")
    out = IOBuffer()
    while peek_json(reader) != '"'
        reader.at <= ncodeunits(reader.text) || json_fail(reader, "the end of a string is missing")
        if peek_json(reader) != '\\'
            write(out, codeunit(reader.text, reader.at)) # byte for byte, so any character is copied
            reader.at += 1
            continue
        end
        reader.at += 2
        letter = Char(codeunit(reader.text, reader.at - 1))
        if letter == 'u'
            code = read_hex!(reader)
            if 0xD800 <= code < 0xDC00 && startswith(SubString(reader.text, reader.at), "\\u") # half of a pair
                reader.at += 2
                code = 0x10000 + (code - 0xD800) * 0x400 + (read_hex!(reader) - 0xDC00)
            end
            write(out, Char(code))
        else
            haskey(ESCAPES, letter) || json_fail(reader, "unknown escape")
            write(out, ESCAPES[letter])
        end
    end
    reader.at += 1
    return String(take!(out))
end

function read_array!(reader)
    array = Any[]
    take_json!(reader, '[')
    take_json!(reader, ']') && return array
    while true
        push!(array, read_value!(reader))
        take_json!(reader, ']') && return array
        take_json!(reader, ',') || json_fail(reader, "',' or ']' expected")
    end
end

function read_object!(reader)
    object = Dict{String,Any}()
    take_json!(reader, '{')
    take_json!(reader, '}') && return object
    while true
        next_mark(reader)
        key = read_string!(reader)
        take_json!(reader, ':') || json_fail(reader, "':' expected")
        object[key] = read_value!(reader)
        take_json!(reader, '}') && return object
        take_json!(reader, ',') || json_fail(reader, "',' or '}' expected")
    end
end

"Gives the value as JSON, in one line."
function to_json(value)
    out = IOBuffer()
    write_json(out, value)
    return String(take!(out))
end

write_json(out, ::Nothing) = print(out, "null")
write_json(out, flag::Bool) = print(out, flag)
write_json(out, number::Integer) = print(out, number)

# Julia prints the fewest digits that give the same number back. JSON has no NaN and no infinity: they go as text.
function write_json(out, number::Float64)
    if isfinite(number)
        print(out, number)
    else
        print(out, isnan(number) ? "\"NaN\"" : number > 0.0 ? "\"Infinity\"" : "\"-Infinity\"")
    end
end

function write_json(out, text::AbstractString)
    print(out, '"')
    for letter in text
        if letter in ('"', '\\')
            print(out, '\\', letter)
        elseif isvalid(letter) && letter < ' '
            print(out, "\\u", string(UInt32(letter); base = 16, pad = 4))
        else
            print(out, letter)
        end
    end
    print(out, '"')
end

function write_json(out, array::AbstractVector)
    print(out, '[')
    for (i, item) in enumerate(array)
        i > 1 && print(out, ',')
        write_json(out, item)
    end
    print(out, ']')
end

function write_json(out, object::AbstractDict)
    print(out, '{')
    for (i, (key, item)) in enumerate(object)
        i > 1 && print(out, ',')
        write_json(out, key)
        print(out, ':')
        write_json(out, item)
    end
    print(out, '}')
end
