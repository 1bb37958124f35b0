# Rows "SET|TOOL|WHAT|VALUE" of store.sh into tables for people.

{
    value[$1, $2, $3] = $4
    if (!(($1, $2) in known)) { known[$1, $2] = 1; tool[$1, ++n[$1]] = $2 }
    if (!(($1, $3) in named)) { named[$1, $3] = 1; what[$1, ++m[$1]] = $3 }
}

function cell(set, tool, what) { return (set, tool, what) in value ? value[set, tool, what] : "" }

function compare(set, title,    i, t, mb, stored, memory) {
    if (!(set in n)) return
    mb = value[set, "input", "stored"]
    printf "\n%s: %.0f MB\n\n", title, mb
    print "| tool | first half, CPU s | second half | all again | restore | stored MB | reduction | memory MiB |"
    print "|---|---|---|---|---|---|---|---|"
    for (i = 1; i <= n[set]; i++) {
        t = tool[set, i]
        if (t == "input") continue
        stored = cell(set, t, "stored")
        memory = cell(set, t, "first, memory")
        if (cell(set, t, "restore, memory") + 0 > memory + 0) memory = cell(set, t, "restore, memory")
        printf "| %s | %s | %s | %s | %s | %.1f | %.2fx | %.0f |\n", t, cell(set, t, "first"), cell(set, t, "next"),
            cell(set, t, "again"), cell(set, t, "restore"), stored, mb / stored, memory
    }
}

END {
    compare("rootfs", "Six root file systems of Debian")
    compare("text", "Releases of npm packages")
    compare("edits", "Data that does not compress, with edits")
    print "\nNoise, half of which is forgotten then\n"
    print "| size | ingest, CPU s | memory MiB | chunks | index MB | verify, CPU s | gc, CPU s | gc, memory MiB |"
    print "|---|---|---|---|---|---|---|---|"
    for (i = 1; i <= n["growth"]; i++) {
        t = tool["growth", i]
        printf "| %s | %s | %s | %s | %s | %s | %s | %s |\n", t, cell("growth", t, "ingest"), cell("growth", t, "ingest, memory"),
            cell("growth", t, "chunks"), cell("growth", t, "index"), cell("growth", t, "verify"), cell("growth", t, "gc"), cell("growth", t, "gc, memory")
    }
    print "\n| stage, alone | GB a CPU second |\n|---|---|"
    for (i = 1; i <= m["stages"]; i++) printf "| %s | %s |\n", what["stages", i], value["stages", "gdo", what["stages", i]]
}
