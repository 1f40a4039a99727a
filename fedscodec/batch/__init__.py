"""Encode and decode one file or many: the work behind the commands.

    tasks = plan([Path("photos")], Path("out"), ".feds", picture_suffixes(), recursive=True).tasks
    with Batch(tasks, Encoder(Encoding(quality=5))) as batch:
        for done in batch:
            ...

plan      files and where their results go      settings  how to encode and decode
encoder   the stages of a picture               decoder   the stages of a file
pipeline  all of them at the same time          cluster   the same on many machines
single    one picture, encoded as asked for     done      what became of each file
"""
